"""A file where a folder is meant and the reverse: the message names what is there."""

from pathlib import Path

import pytest

from seglight.data.sources import CocoSource, Context, FolderSource, ImageSource, build_sources
from seglight.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data set as competitions hand it out."""
    for folder in ('images', 'masks', 'annotations'):
        (tmp_path / folder).mkdir()
    for name in ('annotations/train.json', 'annotations/val.json', 'images.zip', 'list.txt', 'images/a.jpg'):
        (tmp_path / name).touch()
    return tmp_path


def message(source: object, root: Path) -> str:
    with pytest.raises(DataError) as error:
        source.samples(Context(['a', 'b'], root=root))  # type: ignore[attr-defined]
    return str(error.value).replace(str(root), 'ROOT')


def test_a_folder_of_annotations_is_answered_with_its_files(root: Path) -> None:
    assert message(CocoSource('annotations'), root) == (
        'The annotations ROOT/annotations are a folder, which must be a JSON file: set ann_file to '
        'ROOT/annotations/train.json or ROOT/annotations/val.json'
    )
    assert message(CocoSource('images'), root) == 'The annotations ROOT/images are a folder, which must be a JSON file'


@pytest.mark.parametrize('name', ['train.json', 'annotations/trian.json', 'annotation/train.json'])
def test_missing_annotations_are_answered_with_those_that_are_there(name: str, root: Path) -> None:
    found = 'found ROOT/annotations/train.json or ROOT/annotations/val.json'
    assert message(CocoSource(name), root).endswith(f'cannot be read: No such file or directory; {found}')
    assert message(ImageSource(name), root).endswith(found)


def test_a_file_where_images_are_meant_is_answered_with_its_source(root: Path) -> None:
    coco = 'use {type: CocoSource, ann_file: train.json, img_dir: ...}, with paths relative to data.root'
    path = 'ROOT/annotations/train.json'
    assert message(FolderSource('annotations/train.json'), root) == f'The image folder {path} is a file; {coco}'
    assert message(FolderSource('images', 'images.zip'), root) == (
        'The mask folder ROOT/images.zip is a file; use {type: ArchiveSource, path: images.zip, ...}'
    )
    assert message(FolderSource('list.txt'), root).endswith('use split: list.txt with img_dir and ann_dir')
    assert message(FolderSource('images/a.jpg'), root).endswith('is a file; must be a folder, for example ROOT/images')
    [(named, _)] = build_sources('train.json', 'data.train', 'img_dir', 'ann_dir')
    assert message(named, root) == (
        f'The image folder ROOT/img_dir/train.json does not exist, but the file {path} does; {coco}'
    )


def test_a_misspelt_folder_is_answered_with_the_nearest(root: Path) -> None:
    keys = 'set data.root and data.img_dir'
    assert message(FolderSource('imagse'), root) == (
        f"The image folder ROOT/imagse does not exist; {keys}; did you mean 'images'?"
    )
    assert message(FolderSource('nothing/of/it'), root).endswith(f'does not exist; {keys}')
