"""JPEG files decoded by libjpeg-turbo itself."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from seglight.data.jpeg import decode_jpeg


def encoded(mode: str = 'RGB', **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 51, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(cv2.blur(pixels, (3, 3))).convert(mode).save(buffer, 'JPEG', **options)
    return buffer.getvalue()


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('options', [{'quality': 92}, {'subsampling': 0}, {'progressive': True}], ids=str)
def test_the_pixels_are_opencvs(mode: str, options: dict) -> None:
    data = encoded(mode, **options)
    image = decode_jpeg(data)
    assert np.array_equal(image, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))
    assert image.flags.writeable


def test_what_exif_turns_and_what_is_no_jpeg_is_left_to_others() -> None:
    for orientation, decoded in ((1, True), (6, False)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert (decode_jpeg(encoded(exif=exif)) is not None) == decoded
    buffer = io.BytesIO()
    Image.new('RGB', (4, 4)).save(buffer, 'PNG')
    assert decode_jpeg(buffer.getvalue()) is None
    assert decode_jpeg(b'') is None


@pytest.mark.parametrize('cut', [2, 300, -300, -1])
def test_a_truncated_file_is_no_image(cut: int) -> None:
    assert decode_jpeg(encoded()[:cut]) is None
