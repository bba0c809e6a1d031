"""Paths in lists and annotations: as written, from Windows, or encoded for URLs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from seglight.data.sources import CocoSource, Context
from seglight.data.sources.images import ImageSource
from seglight.data.sources.paths import is_hidden, path_in, paths_below
from seglight.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ('a b.jpg', 'sub/c (1).jpg', '50%25.jpg', '50%.jpg', 'plain.jpg', 'Ä.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (20, 16)).save(path)
    Image.new('RGB', (20, 16)).save(tmp_path / 'outside.jpg')
    return tmp_path / 'images'


@pytest.mark.parametrize(
    ('name', 'found'),
    [
        ('plain.jpg', 'plain.jpg'),
        ('a%20b.jpg', 'a b.jpg'),
        ('sub%2Fc%20%281%29.jpg', 'sub/c (1).jpg'),
        (r'sub%5Cc%20(1).jpg', 'sub/c (1).jpg'),
        (r'sub\c (1).jpg', 'sub/c (1).jpg'),
        ('%C3%84.jpg', 'Ä.jpg'),
        ('50%25.jpg', '50%25.jpg'),  # a file of this name exists, so nothing is decoded
        ('50%.jpg', '50%.jpg'),
        ('a%20c.jpg', 'a%20c.jpg'),  # neither exists: the error names what was written
        ('%00.jpg', '%00.jpg'),
    ],
)
def test_a_name_encoded_for_urls_means_the_file_that_exists(name: str, found: str, folder: Path) -> None:
    assert path_in(folder, name) == folder / found


def test_an_encoded_name_cannot_leave_its_folder(folder: Path) -> None:
    outside = folder.parent / 'outside.jpg'
    absolute = str(outside).replace('/', '%2F')
    assert path_in(folder, absolute) == folder / absolute
    images = [{'id': 1, 'file_name': '%2E%2E%2Foutside.jpg', 'height': 16, 'width': 20}]
    (folder / 'a.json').write_text(json.dumps({'images': images, 'categories': [], 'annotations': []}))
    with pytest.raises(DataError, match=r"the file_name '../outside.jpg' leads out of img_dir"):
        CocoSource('a.json').samples(Context(['a', 'b'], root=folder))


def test_lists_and_coco_files_may_encode_names(folder: Path) -> None:
    (folder / 'list.txt').write_text('a%20b.jpg\nsub%2Fc%20%281%29.jpg\n')
    listed = ImageSource('list.txt').samples(Context(['a', 'b'], root=folder))
    assert [sample.name for sample in listed] == ['a b', 'sub/c (1)']
    entries = [{'id': 1, 'file_name': 'a%20b.jpg', 'height': 16, 'width': 20}]
    (folder / 'a.json').write_text(json.dumps({'images': entries, 'categories': [], 'annotations': []}))
    (sample,) = CocoSource('a.json').samples(Context(['a', 'b'], root=folder))
    assert sample.image == folder / 'a b.jpg'
    entries.append({'id': 2, 'file_name': 'a b.jpg', 'height': 16, 'width': 20})
    (folder / 'a.json').write_text(json.dumps({'images': entries, 'categories': [], 'annotations': []}))
    with pytest.raises(DataError, match=r"two images have the file_name 'a b\.jpg'"):
        CocoSource('a.json').samples(Context(['a', 'b'], root=folder))


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    for name in ('a/b.jpg', '.ipynb_checkpoints/b.jpg', 'a/.c/d.jpg', '__MACOSX/b.jpg', 'a/@eaDir/b.jpg', 'a/.b.jpg'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sorted(paths_below(tmp_path)) == ['a/.b.jpg', 'a/b.jpg']
    assert is_hidden(tmp_path / 'a' / '.b.jpg', tmp_path)
    assert not is_hidden(tmp_path / 'a' / 'b.jpg', tmp_path / 'a')
