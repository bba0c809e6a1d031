"""JPEG files decoded by libjpeg-turbo itself."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from seglight.data.formats import IncompleteError
from seglight.data.images import glance, read_image
from seglight.data.jpeg import decode_jpeg
from seglight.errors import DataError


def encoded(mode: str = 'RGB', **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cv2.blur(pixels, (3, 3))).convert(mode).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('options', [{'quality': 92}, {'subsampling': 0}, {'progressive': True}], ids=str)
def test_the_pixels_are_opencvs(mode: str, options: dict[str, Any]) -> None:
    data = encoded(mode, **options)
    image = decode_jpeg(data)
    assert image is not None
    assert np.array_equal(image, opencvs(data))
    assert image.flags.writeable


def opencvs(data: bytes) -> np.ndarray:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def with_exif(orientation: int, thumbnail: bytes = b'') -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    if thumbnail:
        exif[0x927C] = thumbnail  # any tag that holds bytes
    return exif


@pytest.mark.parametrize('orientation', [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_what_exif_turns_is_turned_as_opencv_does(orientation: int) -> None:
    data = encoded(exif=with_exif(orientation))
    image = decode_jpeg(data)
    assert image is not None
    assert image.shape == ((51, 37, 3) if 5 <= orientation <= 8 else (37, 51, 3))
    assert np.array_equal(image, opencvs(data))
    assert image.flags.writeable
    assert image.flags.c_contiguous


def test_other_formats_are_left_to_other_decoders() -> None:
    buffer = io.BytesIO()
    Image.new('RGB', (4, 4)).save(buffer, 'PNG')
    assert decode_jpeg(buffer.getvalue()) is None
    assert decode_jpeg(b'') is None
    assert decode_jpeg(encoded()[:2]) is None


def several_images() -> bytes:
    buffer = io.BytesIO()
    first, second = Image.new('RGB', (51, 37), 'red'), Image.new('RGB', (51, 37), 'blue')
    first.save(buffer, 'MPO', save_all=True, append_images=[second])
    return buffer.getvalue()


WHOLE = {
    'bytes after the end': encoded() + bytes(range(256)) * 20,
    'zeros after the end': encoded() + bytes(5000),
    'a second image': several_images(),
    'a second image that is cut off': several_images()[:-100],
    'a progressive one': encoded(progressive=True),
    'an embedded thumbnail': encoded(exif=with_exif(1, encoded()[:9000])),
    'bytes before the end': encoded(restart_marker_rows=1)[:-2] + b'xyz' + encoded()[-2:],
}


@pytest.mark.parametrize('case', WHOLE)
def test_odd_files_that_hold_every_pixel_are_fine(case: str, tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    path.write_bytes(WHOLE[case])
    assert np.array_equal(read_image(path), opencvs(WHOLE[case]))


def ended_early(data: bytes) -> bytes:
    """Put an end into the middle; OpenCV fills the rest with grey and says nothing."""
    half = len(data) * 2 // 3
    return data[:half] + data[-2:]


CUT = {
    'in the middle': encoded()[:-300],
    'in its end': encoded()[:-1],
    'before its end': encoded()[:-2],
    'an end in the middle': ended_early(encoded()),
    'one with an orientation': ended_early(encoded(exif=with_exif(6))),
    'one with a thumbnail': encoded(exif=with_exif(1, encoded()))[:-300],
    'a progressive one': encoded(progressive=True)[:-300],
    'zeros in place of the rest': encoded()[:-300] + bytes(300),
}


@pytest.mark.parametrize('case', CUT)
def test_a_file_that_is_cut_off_is_an_error(case: str, tmp_path: Path) -> None:
    with pytest.raises(IncompleteError):
        decode_jpeg(CUT[case])
    path = tmp_path / 'a.jpg'
    path.write_bytes(CUT[case])
    with pytest.raises(DataError, match=r'a.jpg cannot be read: it is cut off or damaged; replace or remove it'):
        read_image(path)


def test_opencv_alone_would_take_a_file_with_an_end_in_the_middle() -> None:
    assert opencvs(ended_early(encoded())) is not None


@pytest.mark.parametrize('cut', [4, 12, 13, 40, 2000])
def test_a_png_that_is_cut_off_is_an_error(cut: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'a.png'
    Image.open(io.BytesIO(encoded())).save(path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match=r'a.png cannot be read: it is cut off or damaged'):
        read_image(path)
    assert capfd.readouterr().err == ''
    assert glance(path).cut_off


def test_the_last_bytes_tell_what_may_be_cut_off(tmp_path: Path) -> None:
    path = tmp_path / 'a.jpg'
    for data, suspect in (
        (encoded(), False),
        (encoded() + bytes(50), False),
        (several_images(), False),
        (encoded() + b'more', True),
        (encoded()[:-1], True),
        (encoded(exif=with_exif(1, encoded()))[:-300], True),
    ):
        path.write_bytes(data)
        assert glance(path).cut_off == suspect, data[-10:]
