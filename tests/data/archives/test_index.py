"""The list of an archive is kept for later starts, and made again when the archive has changed or it is damaged."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data.archives import index
from seglight.data.archives.index import find_member, open_archive
from seglight.data.column_files import cached_path
from seglight.data.images import glance, image_size, read_image
from seglight.data.masks import read_mask
from seglight.data.places import is_member, size_of, status_of
from seglight.data.sources.base import kind_of, stamp
from seglight.errors import DataError


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of a JPEG, a PNG and a text, with a cache of its own."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr('seglight.data.column_files.SETTLED', -10)
    monkeypatch.setattr(index, '_known', {})
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.jpg')
    Image.fromarray(pixels[..., 0] % 4).save(tmp_path / 'a.png')
    (tmp_path / 'a.txt').write_text('no image')
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as file:
        for name in ('a.jpg', 'a.png', 'a.txt'):
            file.write(tmp_path / name, f'in/{name}')
    return tmp_path / 'a.zip'


def test_images_and_masks_are_read_as_from_files(archive: Path) -> None:
    files = archive.parent
    for name in ('a.jpg', 'a.png'):
        assert (read_image(archive / 'in' / name) == read_image(files / name)).all()
        assert image_size(archive / 'in' / name) == image_size(files / name) == (40, 60)
        assert glance(archive / 'in' / name)[:3] == glance(files / name)[:3] == ((40, 60), False, size_of(files / name))
        assert size_of(archive / 'in' / name) == size_of(files / name) == status_of(files / name).size
    assert (read_mask(archive / 'in/a.png') == read_mask(files / 'a.png')).all()


def test_what_is_wrong_with_a_member_is_told_with_its_name(archive: Path) -> None:
    with pytest.raises(DataError, match=r'The image .*a\.zip/in/b\.jpg does not exist'):
        read_image(archive / 'in/b.jpg')
    with pytest.raises(DataError, match=r'The image .*a\.zip/in/a\.txt cannot be read: it is damaged or not an image'):
        read_image(archive / 'in/a.txt')
    assert (kind_of(archive / 'in/a.jpg'), kind_of(archive / 'in/b.jpg')) == ('file', None)
    assert (is_member(archive / 'in/a.jpg'), is_member(archive / 'b.jpg'), is_member(archive)) == (True, False, False)
    assert (size_of(archive / 'b.jpg'), stamp(archive / 'b.jpg')) == (None, '')


def test_a_folder_may_end_like_an_archive(tmp_path: Path) -> None:
    (tmp_path / 'b.zip').mkdir()
    Image.new('L', (5, 4)).save(tmp_path / 'b.zip/a.png')
    assert find_member(tmp_path / 'b.zip/a.png') is None
    assert read_mask(tmp_path / 'b.zip/a.png').shape == (4, 5)


def test_the_list_is_kept_and_made_again_after_a_change(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_archive(archive)
    kept = cached_path(f'archive {archive}')
    assert first.columns.path == kept
    assert len(pickle.dumps(first)) < 2000
    assert pickle.loads(pickle.dumps(first)).find('in/a.png') == 1
    before = stamp(archive / 'in/a.jpg')
    with zipfile.ZipFile(archive, 'a') as file:
        file.writestr('in/b.jpg', b'new')
    os.utime(archive, ns=(1, 1))
    assert open_archive(archive).find('in/b.jpg') == 3
    assert stamp(archive / 'in/a.jpg') != before
    data = bytearray(kept.read_bytes())
    for position in range(len(data) - 8 * 24, len(data), 24):  # numbers in the last columns
        data[position] ^= 0x80
    kept.write_bytes(data)
    monkeypatch.setattr(index, '_known', {})
    member = find_member(archive / 'in/b.jpg')
    assert member is not None
    assert member.name == 'in/b.jpg'
