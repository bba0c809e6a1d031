"""Reading mask files: the labels as stored."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from data.tiffs import tiff
from PIL import Image

from seglight.data.masks import read_mask, read_stored_mask
from seglight.errors import DataError

RNG = np.random.default_rng(0)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


def png(labels: np.ndarray, bits: int, kind: int = 0, row_filter: int = 0) -> bytes:
    """A PNG of few bits, grey (0) or with a palette (3), whose rows have one filter: None (0), Sub (1) or Up (2)."""
    height, width = labels.shape
    bytes_of = np.packbits((labels[..., None] >> np.arange(bits - 1, -1, -1) & 1).reshape(height, -1), axis=1)
    before = np.zeros_like(bytes_of)
    if row_filter == 1:
        before[:, 1:] = bytes_of[:, :-1]
    elif row_filter == 2:
        before[1:] = bytes_of[:-1]
    rows = b''.join(bytes([row_filter]) + row.tobytes() for row in bytes_of - before)
    header = struct.pack('>II5B', width, height, bits, kind, 0, 0, 0)
    palette = chunk(b'PLTE', bytes(3 << bits)) if kind == 3 else b''
    content = chunk(b'IHDR', header) + palette + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
    return b'\x89PNG\r\n\x1a\n' + content


@pytest.mark.parametrize('bits', [1, 2, 4, 8])
@pytest.mark.parametrize('kind', [0, 3])
@pytest.mark.parametrize('row_filter', [0, 1, 2])
@pytest.mark.parametrize('width', [1, 8, 13])
def test_few_bits_are_labels_and_not_grey_values(
    bits: int, kind: int, row_filter: int, width: int, tmp_path: Path
) -> None:
    labels = RNG.integers(0, 1 << bits, (40, width)).astype(np.uint8)
    data = png(labels, bits, kind, row_filter)
    with Image.open(io.BytesIO(data)) as image:  # the file is what it is meant to be: Pillow scales grey values
        scale = 1 if kind == 3 or bits == 8 else 255 // ((1 << bits) - 1)
        assert np.array_equal(np.asarray(image.convert('L') if kind == 0 else image), labels * scale)
    (tmp_path / 'a.png').write_bytes(data)
    found = read_mask(tmp_path / 'a.png')
    assert found.dtype == np.uint8
    assert np.array_equal(found, labels)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA'])
def test_unexpected_colours_are_rejected(mode: str, tmp_path: Path) -> None:
    labels = RNG.integers(0, 3, (5, 7)).astype(np.uint8)
    Image.fromarray(labels).convert(mode).save(tmp_path / 'a.png')
    with pytest.raises(
        DataError, match=rf'a\.png has the mode {mode} \(its channels are equal: save one of them\); a mask'
    ):
        read_mask(tmp_path / 'a.png')
    assert np.array_equal(read_mask(tmp_path / 'a.png', colours=True), np.repeat(labels[..., None], 3, 2))
    Image.fromarray(np.stack([labels, labels, 2 - labels], 2)).save(tmp_path / 'a.png')
    with pytest.raises(DataError, match=r'a\.png has the mode RGB; a mask must have one channel'):
        read_mask(tmp_path / 'a.png')


@pytest.mark.parametrize('dtype', ['u1', 'i2', 'u2', 'i4', 'u4', 'f4', 'f8'])
def test_whole_numbers_of_any_type_are_labels(dtype: str, tmp_path: Path) -> None:
    labels = RNG.integers(0, 200, (5, 7, 1)).astype(dtype)
    (tmp_path / 'a.tif').write_bytes(tiff(labels))
    assert np.array_equal(read_mask(tmp_path / 'a.tif'), labels[..., 0])


@pytest.mark.parametrize(
    ('values', 'reason'),
    [([0.5, 1], 'values that are not integers, from 0.5'), ([np.nan, 1], 'labels from nan'), ([-1, 2], 'from -1.0 to 2'),
     ([0, 65536], 'from 0.0 to 65536')],
)  # fmt: skip
def test_invalid_labels_are_rejected(values: list[float], reason: str, tmp_path: Path) -> None:
    (tmp_path / 'a.tif').write_bytes(tiff(np.array(values, np.float32).reshape(1, -1, 1)))
    with pytest.raises(DataError, match=rf'The mask .*a\.tif cannot be read: .*{reason}'):
        read_mask(tmp_path / 'a.tif')


def test_palette_and_lossy_compression_are_returned(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image.putpalette([1, 2, 3, 4, 5, 6])
    for suffix in ('png', 'gif', 'bmp', 'tif'):
        image.save(tmp_path / f'a.{suffix}')
        stored = read_stored_mask(tmp_path / f'a.{suffix}')
        assert stored.palette is not None
        assert stored.palette[:2].tolist() == [[1, 2, 3], [4, 5, 6]], suffix
        assert not stored.lossy
    grey = Image.fromarray(np.zeros((8, 8), np.uint8))
    grey.save(tmp_path / 'a.jpg')
    grey.convert('RGB').save(tmp_path / 'lossless.webp', lossless=True)
    grey.convert('RGB').save(tmp_path / 'lossy.webp')
    assert read_stored_mask(tmp_path / 'a.jpg').lossy
    assert read_stored_mask(tmp_path / 'lossy.webp', colours=True).lossy
    assert not read_stored_mask(tmp_path / 'lossless.webp', colours=True).lossy


@pytest.mark.parametrize('is_text', [False, True])
@pytest.mark.parametrize(
    ('maximum', 'labels'),
    [
        (1, [[0, 1, 1], [1, 0, 0]]),
        (15, [[0, 1, 2], [7, 8, 15]]),
        (18, [[0, 3, 18], [255, 1, 2]]),  # ignored pixels, above the maximum
        (255, [[0, 1, 2], [128, 254, 255]]),
        (256, [[0, 1, 2], [100, 255, 256]]),
        (4095, [[0, 1, 2], [7, 300, 4095]]),
        (65535, [[0, 1, 2], [255, 256, 65535]]),
    ],
)
def test_labels_of_a_pgm_are_as_stored_whatever_its_maximum(
    maximum: int, labels: list[list[int]], is_text: bool, tmp_path: Path
) -> None:
    magic = 'P2' if is_text else 'P5'
    head = f'{magic}\n# by hand\n3 2\n{maximum}\n'.encode()
    words = '\n'.join(' '.join(map(str, row)) for row in labels).encode() + b'\n'
    numbers = np.array(labels, '>u2' if maximum > 255 else 'u1').tobytes()
    (tmp_path / 'a.pgm').write_bytes(head + (words if is_text else numbers))
    assert read_mask(tmp_path / 'a.pgm').tolist() == labels


@pytest.mark.parametrize('pixels', [b'P1\n# by hand\n3 2\n0 1 1\n1 0 0\n', b'P4\n# by hand\n3 2\n\x60\x80'])
def test_labels_of_a_pbm_are_its_bits(pixels: bytes, tmp_path: Path) -> None:
    (tmp_path / 'a.pbm').write_bytes(pixels)
    assert read_mask(tmp_path / 'a.pbm').tolist() == [[0, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize('data', [b'P5 3 2 15\n\x00\x01', b'P2 3 2 15\n0 1', b'P5 3 2 70000\n', b'P2 1 1 15\n300\n'])
def test_a_damaged_pgm_is_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / 'a.pgm').write_bytes(data)
    with pytest.raises(DataError, match=r'^The mask .*a\.pgm cannot be read: it is .*(remove it)$'):
        read_mask(tmp_path / 'a.pgm')


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
def test_labels_of_a_tiff_whose_zero_is_white_are_as_stored(bits: int, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (20, 4, 1)).astype('u2' if bits == 16 else 'u1')
    (tmp_path / 'a.tif').write_bytes(tiff(pixels, photometric=0, bits=bits if bits < 8 else 0))
    labels = pixels[..., 0]
    if bits < 8:
        labels = np.unpackbits(labels, axis=1).reshape(20, -1, bits) @ (1 << np.arange(bits - 1, -1, -1))
    assert np.array_equal(read_mask(tmp_path / 'a.tif'), labels)
