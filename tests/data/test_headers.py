"""Sizes from the first bytes of files: those of Pillow, or none."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data.headers import HEAD, upright_size
from seglight.data.images import glance


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'RGB', 'RGBA', 'LA', 'I;16'])
def test_png(mode: str) -> None:
    assert upright_size(encoded(Image.new(mode, (30, 20)), 'PNG')[:HEAD]) == (20, 30)


@pytest.mark.parametrize('mode', ['L', 'RGB', 'CMYK'])
@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'comment': b'x' * 99}, {'dpi': (72, 72)}])
def test_jpeg(mode: str, options: dict[str, object]) -> None:
    assert upright_size(encoded(Image.new(mode, (30, 20)), 'JPEG', **options)[:HEAD]) == (20, 30)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_turns_a_jpeg(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.new('RGB', (30, 20)), 'JPEG', exif=exif)
    assert upright_size(data[:HEAD]) == ((30, 20) if orientation >= 5 else (20, 30))


def test_what_is_unusual_or_damaged_is_left_to_pillow(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.new('RGB', (30, 20))
    png, jpeg = encoded(picture, 'PNG'), encoded(picture, 'JPEG')
    assert upright_size(encoded(picture, 'PNG', exif=exif)) is None
    assert upright_size(encoded(picture, 'GIF')) is None
    assert upright_size(png[:20] + b'\1' + png[21:]) is None  # its checksum is wrong
    for data in (png, jpeg):
        assert upright_size(data[: data.index(b'IDAT' if data == png else b'\xff\xda')]) is None
    several = encoded(picture, 'MPO', save_all=True, append_images=[picture])
    assert upright_size(several) is None
    (tmp_path / 'a.jpg').write_bytes(several)
    assert glance(tmp_path / 'a.jpg').size == (20, 30)


def test_a_changed_byte_gives_the_size_that_pillow_gives_or_none() -> None:
    rng = np.random.default_rng(0)
    for kind in ('PNG', 'JPEG'):
        data = encoded(Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)), kind)
        for _ in range(300):
            changed = bytearray(data)
            changed[rng.integers(0, min(len(data), 700))] = rng.integers(0, 256)
            size = upright_size(bytes(changed[:HEAD]))
            if size is not None:
                with Image.open(io.BytesIO(changed)) as image:
                    assert size == image.size[::-1]
