"""Headers of images, and messages about unreadable files."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from seglight.data.formats import UnreadableError
from seglight.data.images import image_size, read_image, rgb_of
from seglight.data.masks import read_mask
from seglight.data.value_range import ValueRange
from seglight.errors import DataError


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
def test_the_size_in_the_header_is_that_of_the_pixels(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f'image.{suffix}'
    Image.new('RGB', (20, 30)).save(path, exif=exif)
    assert image_size(path) == read_image(path).shape[:2] == np.asarray(cv2.imread(str(path))).shape[:2]
    assert image_size(path) == ((30, 20) if orientation < 5 else (20, 30))


def test_an_orientation_in_xmp_alone_turns_nothing_as_in_opencv(tmp_path: Path) -> None:
    path = tmp_path / 'image.jpg'
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.new('RGB', (20, 30)).save(path, xmp=xmp)
    assert Image.open(path).getexif()[0x0112] == 6
    assert image_size(path) == read_image(path).shape[:2] == np.asarray(cv2.imread(str(path))).shape[:2] == (30, 20)


@pytest.mark.parametrize('mode', ['1', 'L', 'LA', 'P', 'RGB', 'RGBA', 'I;16'])
def test_an_image_in_memory_is_the_same_as_in_a_file(mode: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    if mode == 'I;16':
        image = Image.fromarray(generator.integers(0, 1 << 16, (20, 30), dtype=np.uint16))
    else:
        image = (
            Image.fromarray(generator.integers(0, 256, (20, 30, 4), dtype=np.uint8), 'RGBA')
            .convert('RGB' if mode == 'P' else 'RGBA')
            .convert(mode)
        )
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / 'image.png', exif=exif)
    expected = read_image(tmp_path / 'image.png')
    assert expected.shape == (30, 20, 3)
    with Image.open(tmp_path / 'image.png') as opened:
        assert (rgb_of(opened) == expected).all()
        array: Any = np.rot90(np.asarray(opened), -1)
    if mode not in ('1', 'LA', 'P'):  # whose arrays are not images
        assert (rgb_of(array) == expected).all()


def test_arrays_with_a_channel_and_with_more_bits_are_images() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (rgb_of(grey[..., None]) == rgb_of(grey)).all()
    assert rgb_of(np.array([[0.0, 0.5, 1.0]]), ValueRange(0, 1))[..., 0].tolist() == [[0, 128, 255]]


def test_16_bits_have_any_order_of_bytes() -> None:
    values = np.array([[0, 256, 65535]], dtype=np.uint16)
    for dtype in ('<u2', '>u2'):
        assert rgb_of(values.astype(dtype))[..., 0].tolist() == [[0, 1, 255]]


def test_what_pillow_has_scaled_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'a.pgm').write_bytes(b'P5 2 1 4095\n' + np.array([0, 4040], '>u2').tobytes())
    assert read_image(tmp_path / 'a.pgm', ValueRange(0, 4095))[..., 0].tolist() == [[0, 252]]
    with Image.open(tmp_path / 'a.pgm') as image, pytest.raises(UnreadableError, match='give the path of the file'):
        rgb_of(image, ValueRange(0, 4095))


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (np.zeros((3, 4, 5), np.uint8), r'must be \[H, W\] or \[H, W, C\] with 1, 3 or 4 channels, got \[3, 4, 5\]'),
        (np.zeros((0, 4, 3), np.uint8), r'got \[0, 4, 3\]'),
        (np.zeros((4, 4, 3), np.float32), 'has float32 values; convert them to uint8 from 0 to 255'),
        (np.zeros((4, 4), bool), 'a NumPy array of numbers, got bool'),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), 'a NumPy array of numbers, got torch.uint8'),
        (None, 'must be a path, a Pillow image or a NumPy array of numbers, got NoneType'),
    ],
)
def test_what_is_no_image_in_memory_is_refused(image: Any, message: str) -> None:
    with pytest.raises(UnreadableError, match=message):
        rgb_of(image)


@pytest.mark.parametrize('labels', [[0, 1, 65536], [-1, 0, 2]])
def test_labels_that_16_bits_do_not_hold_are_an_error(labels: list[int], tmp_path: Path) -> None:
    Image.fromarray(np.array([labels], dtype=np.int32)).save(tmp_path / 'mask.tif')
    with pytest.raises(DataError, match=f'has labels from {min(labels)} to {max(labels)}'):
        read_mask(tmp_path / 'mask.tif')
    Image.fromarray(np.array([[0, 1, 65535]], dtype=np.int32)).save(tmp_path / 'mask.tif')
    assert read_mask(tmp_path / 'mask.tif').tolist() == [[0, 1, 65535]]


def bomb(path: Path, width: int, height: int) -> None:
    """A PNG whose header says how large it is, without pixels."""
    parts = {b'IHDR': struct.pack('>II5B', width, height, 8, 0, 0, 0, 0), b'IDAT': b'', b'IEND': b''}
    chunks = [
        struct.pack('>I', len(body)) + name + body + zlib.crc32(name + body).to_bytes(4, 'big')
        for name, body in parts.items()
    ]
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))


def test_aerial_images_are_as_good_as_others_and_bombs_are_not(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    bomb(tmp_path / 'aerial.png', 20000, 20000)
    assert image_size(tmp_path / 'aerial.png') == (20000, 20000)
    assert not recwarn.list
    bomb(tmp_path / 'bomb.png', 100_000, 100_000)
    for read in (image_size, read_mask):
        with pytest.raises(DataError, match=r'bomb\.png .* more pixels than can be read; cut it into tiles'):
            read(tmp_path / 'bomb.png')


def test_the_systems_reason_is_given(tmp_path: Path) -> None:
    for name, reason in (('folder.png', 'Is a directory'), ('a' * 300, 'File name too long')):
        if len(name) < 255:
            (tmp_path / name).mkdir()
        for read in (image_size, read_image, read_mask):
            with pytest.raises(DataError, match=reason):
                read(tmp_path / name)


def test_a_tiff_that_cannot_be_decoded_is_reported_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(tmp_path / 'image.tif')
    (tmp_path / 'image.tif').write_bytes((tmp_path / 'image.tif').read_bytes()[:200])
    with pytest.raises(DataError, match=r'image\.tif cannot be read'):
        read_image(tmp_path / 'image.tif')
    assert capfd.readouterr().err == ''
