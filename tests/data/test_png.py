"""PNG files of labels, decoded beside Pillow."""

import io
import itertools
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from seglight.data.masks import read_mask
from seglight.data.png import decode_png
from seglight.errors import DataError

BLOBS = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 11, (8, 9), dtype=np.uint8), 7, 0), 6, 1)


def by_pillow(pixels: np.ndarray, mode: str = 'L', **options: object) -> bytes:
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if mode == 'P':
        image.putpalette([value % 256 for value in range(768)])
    image.save(buffer, 'PNG', **options)
    return buffer.getvalue()


def by_opencv(pixels: np.ndarray) -> bytes:
    return cv2.imencode('.png', pixels)[1].tobytes()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack('>I', len(body)) + name + body + struct.pack('>I', zlib.crc32(name + body))


def by_hand(filters: list[int], pixels: np.ndarray, pieces: int = 1) -> bytes:
    """A file whose rows have the filters None (0) and Sub (1), with its content in several chunks."""
    height, width = pixels.shape
    left = np.pad(pixels, ((0, 0), (1, 0)))[:, :-1]
    rows = [
        bytes([kind]) + (row - before * kind).tobytes() for kind, row, before in zip(filters, pixels, left, strict=True)
    ]
    content = zlib.compress(b''.join(rows))
    cuts = np.linspace(0, len(content), pieces + 1).astype(int)
    parts = [chunk(b'IDAT', content[start:stop]) for start, stop in itertools.pairwise(cuts)]
    header = struct.pack('>II5B', width, height, 8, 0, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + b''.join(parts) + chunk(b'IEND', b'')


def pillow_reads(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    'data', [by_opencv(BLOBS), by_pillow(BLOBS, 'P'), by_hand([0, 1] * 28, BLOBS, 3)], ids=['opencv', 'palette', 'both']
)
def test_the_pixels_are_pillows(data: bytes) -> None:
    decoded = decode_png(data)
    assert decoded is not None
    assert decoded.dtype == np.uint8
    assert decoded.flags.writeable
    assert np.array_equal(decoded, pillow_reads(data))
    assert np.array_equal(decoded, BLOBS)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9)), st.data())
def test_any_values_come_back(pixels: np.ndarray, data: st.DataObject) -> None:
    filters = data.draw(st.lists(st.sampled_from([0, 1]), min_size=len(pixels), max_size=len(pixels)))
    decoded = decode_png(by_hand(filters, pixels, data.draw(st.integers(1, 3))))
    assert decoded is not None
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize(
    'pixels', [BLOBS.astype(np.uint16), np.stack([BLOBS] * 3, 2), BLOBS.astype(bool)], ids=['16 bits', 'RGB', '1 bit']
)
def test_other_formats_are_left_to_others(pixels: np.ndarray) -> None:
    assert decode_png(by_pillow(pixels)) is None


def test_other_filters_are_left_to_pillow(tmp_path: Path) -> None:
    gradient = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint8)  # Pillow writes it with Up, Average, Paeth
    data = by_pillow(gradient)
    assert decode_png(data) is None
    (tmp_path / 'mask.png').write_bytes(data)
    assert np.array_equal(read_mask(tmp_path / 'mask.png'), gradient)


def test_other_pngs_are_left_to_other_decoders() -> None:
    buffer = io.BytesIO()
    Image.fromarray(BLOBS).save(buffer, 'BMP')
    assert decode_png(buffer.getvalue()) is None
    assert decode_png(b'') is None


def test_bytes_behind_the_last_chunk_do_no_harm() -> None:
    decoded = decode_png(by_opencv(BLOBS) + b'more')
    assert decoded is not None
    assert np.array_equal(decoded, BLOBS)


@pytest.mark.parametrize('place', range(8, len(by_hand([1] * 56, BLOBS)), 7))
def test_a_changed_byte_is_an_error(place: int, tmp_path: Path) -> None:
    data = bytearray(by_hand([1] * 56, BLOBS))
    data[place] ^= 0x55
    assert decode_png(bytes(data)) is None


@pytest.mark.parametrize('cut', [4, 20, 60, -20, -1])
def test_a_truncated_file_is_an_error_with_its_name(cut: int, tmp_path: Path) -> None:
    data = by_opencv(BLOBS)[:cut]
    assert decode_png(data) is None


def test_a_wrong_size_or_a_decompression_bomb_is_rejected() -> None:
    whole = by_hand([0] * 56, BLOBS)
    for width, height in ((54, 57), (54, 55), (0, 56), (1 << 16, 1 << 16)):
        header = chunk(b'IHDR', struct.pack('>II5B', width, height, 8, 0, 0, 0, 0))
        assert decode_png(whole[:8] + header + whole[8 + len(header) :]) is None


def test_a_mask_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / 'cut.png').write_bytes(by_opencv(BLOBS)[:60])
    with pytest.raises(DataError, match=r'cut\.png cannot be read'):
        read_mask(tmp_path / 'cut.png')
    (tmp_path / 'folder.png').mkdir()
    with pytest.raises(DataError, match=r'folder\.png cannot be read: Is a directory'):
        read_mask(tmp_path / 'folder.png')
