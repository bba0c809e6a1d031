"""TIFF files, of which OpenCV and Pillow read some kinds wrongly without a word."""

import io
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from data.tiffs import tiff
from PIL import Image

from seglight.data.formats import IncompleteError, UnreadableError
from seglight.data.images import image_size, read_image
from seglight.data.masks import read_mask
from seglight.data.tiff import page_count, read_bands
from seglight.data.value_range import ValueRange
from seglight.errors import DataError

RNG = np.random.default_rng(0)

#: Order of bytes, BigTIFF or not, edge of the tiles.
LAYOUTS: list[tuple[Literal['<', '>'], bool, int]] = [
    ('<', False, 0),
    ('>', False, 0),
    ('<', True, 32),
    ('>', True, 0),
    ('>', False, 48),
]


def values(dtype: str, bands: int) -> np.ndarray:
    low = 0 if dtype.startswith('u') else -5
    return RNG.integers(low, 100, (23, 37, bands)).astype(dtype)


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'u4', 'i1', 'i2', 'i4', 'f2', 'f4', 'f8'])
@pytest.mark.parametrize('bands', [1, 3, 4])
@pytest.mark.parametrize('planar', [False, True])
def test_the_values_are_those_that_are_stored(dtype: str, bands: int, planar: bool) -> None:
    pixels = values(dtype, bands)
    for photometric in (1, 2) if bands > 1 else (1,):
        extra = [0] * (bands - (3 if photometric == 2 else 1))
        for order, big, tile in LAYOUTS:
            found = read_bands(tiff(pixels, planar, photometric, extra, order, big, tile), maximum=4)
            assert found is not None
            expected = pixels[..., 0] if bands == 1 else pixels
            assert np.array_equal(found, expected), (photometric, order, big, tile)


@pytest.mark.parametrize('bands', [1, 3])
def test_the_smallest_tiles_are_read(bands: int) -> None:
    pixels = values('u1', bands)
    found = read_bands(tiff(pixels, photometric=2 if bands == 3 else 1, tile=16))
    assert found is not None
    assert np.array_equal(found, pixels[..., 0] if bands == 1 else pixels)


@pytest.mark.parametrize('compression', ['tiff_lzw', 'tiff_deflate', 'packbits'])
@pytest.mark.parametrize('predictor', [1, 2])
def test_compressed_files_are_read(compression: str, predictor: int) -> None:
    pixels, buffer = values('u1', 3), io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'TIFF', compression=compression, tiffinfo={317: predictor})
    found = read_bands(buffer.getvalue())
    assert found is not None
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize('dtype', ['u1', 'u2', 'f4'])
@pytest.mark.parametrize('bands', [1, 3])
@pytest.mark.parametrize('planar', [False, True])
def test_no_pixel_is_made_up_where_a_file_is_cut_off(dtype: str, bands: int, planar: bool) -> None:
    for order, big, tile in LAYOUTS:
        whole = tiff(values(dtype, bands), planar, 2 if bands == 3 else 1, [], order, big, tile)
        for missing in (1, 7, len(whole) // 3):
            with pytest.raises((IncompleteError, UnreadableError, struct.error)):
                read_bands(whole[:-missing])


@pytest.mark.parametrize('compression', ['raw', 'tiff_lzw', 'tiff_deflate', 'packbits'])
@pytest.mark.parametrize('mode', ['L', 'RGB', 'I;16'])
def test_files_of_pillow_that_are_cut_off_are_refused(compression: str, mode: str, tmp_path: Path) -> None:
    pixels = values('u2' if mode == 'I;16' else 'u1', 3 if mode == 'RGB' else 1).squeeze()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'TIFF', compression=compression)
    for missing in (1, 7, pixels.nbytes // 10):
        (tmp_path / 'a.tif').write_bytes(buffer.getvalue()[:-missing])
        with pytest.raises(DataError, match='cut off or damaged'):
            read_image(tmp_path / 'a.tif', ValueRange(0, 100))


def test_a_single_strip_without_its_size_is_read_if_it_is_whole() -> None:
    pixels, sizes = values('u1', 1), struct.pack('<HHI', 279, 4, 1)
    whole = tiff(pixels)
    assert whole.count(sizes) == 1
    nameless = whole.replace(sizes, struct.pack('<HHI', 65000, 4, 1))
    found = read_bands(nameless)
    assert found is not None
    assert np.array_equal(found, pixels[..., 0])
    with pytest.raises((IncompleteError, struct.error)):
        read_bands(nameless[:-9])


@pytest.mark.parametrize('photometric', [1, 2])
@pytest.mark.parametrize('planar', [False, True])
def test_four_bands_of_16_bits_are_an_image_of_the_first_three(photometric: int, planar: bool, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 65536, (20, 30, 4)).astype(np.uint16)
    (tmp_path / 'a.tif').write_bytes(tiff(pixels, planar, photometric, [0] * (4 - (3 if photometric == 2 else 1))))
    assert np.array_equal(read_image(tmp_path / 'a.tif'), pixels[..., :3] // 256)
    assert image_size(tmp_path / 'a.tif') == (20, 30)


def test_transparency_is_not_multiplied_in(tmp_path: Path) -> None:
    pixels = values('u1', 4)
    (tmp_path / 'a.tif').write_bytes(tiff(pixels, photometric=2, extra=[2]))
    assert np.array_equal(read_image(tmp_path / 'a.tif'), pixels[..., :3])


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_few_bits_are_grey_from_black_to_white(bits: int, tmp_path: Path) -> None:
    stored = RNG.integers(0, 256, (20, 3, 1)).astype(np.uint8)
    (tmp_path / 'a.tif').write_bytes(tiff(stored, bits=bits))
    raw = np.unpackbits(stored[..., 0], axis=1).reshape(20, -1, bits) @ (1 << np.arange(bits - 1, -1, -1))
    assert np.array_equal(read_image(tmp_path / 'a.tif')[..., 0], raw * 255 // ((1 << bits) - 1))
    assert np.array_equal(read_mask(tmp_path / 'a.tif'), raw)


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (tiff(values('u1', 6), photometric=2, extra=[0] * 3), 'it has 6 bands, must be 1'),
        (tiff(values('u2', 6), extra=[0] * 5), 'it has 6 bands'),
        (tiff(values('u1', 5), photometric=2, extra=[0, 0]), 'it has 5 bands'),
        (tiff(values('u1', 2), extra=[0]), 'it has 2 bands'),
        (tiff(values('u2', 2), extra=[0]), 'it has 2 bands'),
        (
            tiff(np.array([[[0.25]], [[1.5]]], np.float32)),
            r'it has float32 values from 0.25 to 1.5; set data.image_range',
        ),
        (
            tiff(np.array([[[-3]], [[1500]]], np.int16)),
            r'it has int16 values from -3 to 1500; .*, for example \[-3, 1500\]',
        ),
        (tiff(np.array([[[3]], [[70000]]], np.uint32)), r'it has uint32 values from 3 to 70000'),
        (tiff(values('u1', 3), photometric=2)[:-40], 'it is cut off or damaged; replace or remove it'),
        (b'II*\0\xff\xff\xff\x7f', 'it is cut off or damaged'),
        (tiff(np.zeros((1, 1, 1), np.uint8)).replace(b'\0\1\4\0\1\0\0\0\1', b'\0\1\4\0\1\0\0\0\0'), 'states no size'),
    ],
)
def test_what_cannot_be_read_gets_the_true_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / 'a.tif').write_bytes(data)
    with pytest.raises(DataError, match=rf'The image .*a\.tif cannot be read: .*{reason}'):
        read_image(tmp_path / 'a.tif')


def test_pages_are_counted_without_the_smaller_versions_of_one(tmp_path: Path) -> None:
    pages = [Image.new('L', (9, 7), number) for number in range(3)]
    pages[0].save(tmp_path / 'a.tif', save_all=True, append_images=pages[1:])
    with (tmp_path / 'a.tif').open('rb') as file:
        assert page_count(file) == 3
    overview = Image.new('L', (4, 3))
    overview.encoderinfo = {'tiffinfo': {254: 1}}
    pages[0].save(tmp_path / 'b.tif', save_all=True, append_images=[overview])
    with (tmp_path / 'b.tif').open('rb') as file:
        assert page_count(file) == 1


def test_a_directory_that_follows_itself_ends() -> None:
    data = bytearray(tiff(values('u1', 1)))
    start = int.from_bytes(data[4:8], 'little')
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], 'little')
    data[end : end + 4] = data[4:8]
    assert page_count(io.BytesIO(data)) <= 2
