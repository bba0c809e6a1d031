"""Images that lie on a side are turned alike in every format, and their headers say the size of the turned image."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, features

from seglight.data.images import image_size, read_image
from seglight.data.masks import read_mask

#: As Exif 2.32 defines them: what to do with the stored picture.
TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

PIXELS = np.zeros((32, 48, 3), np.uint8)
PIXELS[:16, :24], PIXELS[16:, :24], PIXELS[:16, 24:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def exif(orientation: int) -> bytes:
    content = Image.Exif()
    content[0x0112] = orientation
    return content.tobytes().removeprefix(b'Exif\0\0')


def saved(kind: str, **options: object) -> Callable[[int], bytes]:
    def save(orientation: int) -> bytes:
        buffer = io.BytesIO()
        content = b'Exif\0\0' * (kind == 'JPEG') + exif(orientation)  # which Pillow adds for the others
        Image.fromarray(PIXELS).save(buffer, kind, exif=content, **options)
        return buffer.getvalue()

    return save


def webp_with_prefix(orientation: int) -> bytes:
    """A WebP as some phones write it, whose EXIF begins as in a JPEG."""
    data = saved('WEBP', lossless=True)(orientation)
    content = b'Exif\0\0' + exif(orientation)
    data = data[: data.index(b'EXIF')] + b'EXIF' + struct.pack('<I', len(content)) + content + bytes(len(content) % 2)
    return data[:4] + struct.pack('<I', len(data) - 8) + data[8:]


def jpeg_behind_a_profile(orientation: int) -> bytes:
    """A JPEG whose EXIF follows a colour profile of more than 64 kB."""
    data = saved('JPEG', quality=100, subsampling=0, icc_profile=bytes(100_000))(1)
    start = data.rindex(b'ICC_PROFILE')
    end = start - 2 + int.from_bytes(data[start - 2 : start], 'big')
    content = b'Exif\0\0' + exif(orientation)
    data = data.replace(b'Exif\0\0', b'Xxxx\0\0')  # the first one, before the profile
    return data[:end] + b'\xff\xe1' + struct.pack('>H', len(content) + 2) + content + data[end:]


def tiff(mode: str, **options: object) -> Callable[[int], bytes]:
    def save(orientation: int) -> bytes:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[274] = orientation
        buffer = io.BytesIO()
        image = Image.fromarray(PIXELS).convert(mode) if mode != '16' else Image.fromarray(deep())
        image.save(buffer, 'TIFF', tiffinfo=tags, **options)
        return buffer.getvalue()

    return save


def deep() -> np.ndarray:
    return PIXELS[..., 0].astype(np.uint16) << 8


KINDS: dict[str, Callable[[int], bytes]] = {
    'jpeg': saved('JPEG', quality=100, subsampling=0),
    'jpeg behind a profile': jpeg_behind_a_profile,
    'png': saved('PNG'),
    'webp': saved('WEBP', lossless=True),
    'webp with prefix': webp_with_prefix,
    'avif': saved('AVIF', quality=100, subsampling='4:4:4'),
    'tiff': tiff('RGB'),
    'tiff lzw': tiff('RGB', compression='tiff_lzw'),
    'tiff palette': tiff('P'),
    'tiff jpeg': tiff('RGB', compression='jpeg', quality=100),
    'tiff 16': tiff('16'),
}


@pytest.mark.parametrize('kind', KINDS)
def test_every_orientation_is_turned_and_the_header_agrees(kind: str, tmp_path: Path) -> None:
    if kind == 'avif' and not features.check('avif'):
        pytest.skip('this Pillow writes no AVIF')
    for orientation, turn in TURNS.items():
        path = tmp_path / f'{orientation}'
        path.write_bytes(KINDS[kind](orientation))
        stored = Image.fromarray(PIXELS) if kind != 'tiff 16' else Image.fromarray(np.repeat(PIXELS[..., :1], 3, 2))
        expected = np.asarray(stored.transpose(turn) if turn is not None else stored).astype(int)
        image = read_image(path)
        assert image.shape == expected.shape, orientation
        assert np.abs(image - expected).max() < 30, orientation
        assert image.flags.writeable
        assert image_size(path) == image.shape[:2], orientation


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_a_mask_is_turned_as_its_image_is(suffix: str, tmp_path: Path) -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for orientation, turn in TURNS.items():
        path = tmp_path / f'{orientation}.{suffix}'
        image = Image.fromarray(labels)
        if suffix == 'png':
            image.save(path, exif=exif(orientation))
        else:
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[274] = orientation
            image.save(path, tiffinfo=tags)
        expected = np.asarray(image.transpose(turn) if turn is not None else image)
        assert np.array_equal(read_mask(path), expected), orientation
        assert image_size(path) == expected.shape


@pytest.mark.parametrize('content', [b'II*\0', b'II*\0\xff\xff\xff\x7f', b'MM\0*\0\0\0\x08\xff\xff', b'', b'not EXIF'])
def test_damaged_exif_turns_nothing(content: bytes, tmp_path: Path) -> None:
    for kind, suffix in (('JPEG', 'jpg'), ('PNG', 'png'), ('WEBP', 'webp')):
        path = tmp_path / f'a.{suffix}'
        Image.fromarray(PIXELS).save(path, kind, exif=b'Exif\0\0' + content)
        assert image_size(path) == read_image(path).shape[:2] == (32, 48)
