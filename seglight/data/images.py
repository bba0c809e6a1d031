"""Reading image files."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from seglight.array_types import UInt8Array
from seglight.data.formats import MAX_PIXELS, IncompleteError, UnreadableError, open_image, reading
from seglight.data.headers import HEAD, upright_size
from seglight.data.jpeg import decode_jpeg
from seglight.data.orientation import orientation, orientation_in, upright
from seglight.data.places import open_with_status, read_bytes
from seglight.data.tiff import first_directory, is_tiff, read_bands
from seglight.data.value_range import ValueRange, to_8_bits
from seglight.palette import PNG_SIGNATURE

#: First and last bytes of JPEG and PNG files.
_ENDS = {b'\xff\xd8\xff': b'\xff\xd9', PNG_SIGNATURE: b'IEND\xaeB`\x82'}

_LAST = 64  #: bytes in which an end marker is looked for

#: First bytes of formats with at most 8 bits per value; OpenCV reads 8-bit JPEG only.
_EIGHT_BITS = (b'\xff\xd8\xff', b'BM', b'GIF8', b'RIFF')


def read_image(path: Path, value_range: ValueRange | None = None) -> UInt8Array:
    """Read an image as uint8 `[H, W, 3]` in RGB, upright according to its EXIF orientation.

    Grey and palette images are converted to RGB; transparency and a fourth band are dropped. Only the first page is
    read.

    Args:
        path: a regular file in one of the formats of `IMAGE_SUFFIXES`, whatever its own suffix.
        value_range: for images of more than 8 bits, see `to_8_bits`.

    Raises:
        DataError: if the file cannot be read or decoded, needs a value range, or has too many bands.
    """
    with reading(path, 'The image '):
        data = read_bytes(path)
        image = decode_jpeg(data)
        return image if image is not None else _as_rgb(to_8_bits(decode(data), value_range))


def decode(data: bytes) -> npt.NDArray[Any]:
    """Decode an image file to `[H, W]` grey or `[H, W, 3]` RGB, upright, with the file's dtype.

    Raises:
        UnreadableError: for a TIFF with an unsupported number of bands.
        Exception: of any type, for a damaged file.
    """
    if is_tiff(data):
        bands = read_bands(data)
        return bands if bands is not None else _by_pillow(data)
    if data.rfind(_end_of(data)) < 0:  # OpenCV would fill the missing part, or print errors
        raise IncompleteError
    turned = orientation_in(data)
    pixels = np.frombuffer(data, dtype=np.uint8)
    if has_8_bits(data):
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    else:
        image = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED)  # this ignores the orientation, too
        if image is not None and image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB)
    return upright(np.asarray(image), turned) if image is not None else _by_pillow(data)


def _by_pillow(data: bytes) -> npt.NDArray[Any]:
    """Decode what OpenCV cannot, upright: `[H, W]` of more than 8 bits, otherwise uint8 `[H, W, 3]`."""
    with open_image(io.BytesIO(data)) as image:
        return _pillow_values(image)


def _pillow_values(image: Image.Image) -> npt.NDArray[Any]:
    """Return the values of a Pillow image, upright: `[H, W]` of more than 8 bits, otherwise uint8 `[H, W, 3]`."""
    deep = image.mode.startswith(('I', 'F'))
    values = np.array(image if deep else image.convert('RGB'))
    # Pillow rotates TIFF itself.
    return upright(values, 1 if image.format == 'TIFF' else orientation(image))


def rgb_of(image: npt.NDArray[Any] | Image.Image, value_range: ValueRange | None = None) -> UInt8Array:
    """Return an image in memory as `read_image` returns one of a file: uint8 `[H, W, 3]`.

    Args:
        image: a Pillow image, or an array `[H, W]` or `[H, W, C]` with one, three or four channels, in RGB.
        value_range: for images of more than 8 bits, see `to_8_bits`.

    Raises:
        UnreadableError: for anything else, or if it needs a value range.
    """
    if isinstance(image, Image.Image) and image.format == 'PPM' and image.mode.startswith('I'):
        raise UnreadableError('Pillow has scaled its values; give the path of the file')
    values = _pillow_values(image) if isinstance(image, Image.Image) else image
    if not isinstance(values, np.ndarray) or values.dtype.kind not in 'uif':
        kind = getattr(values, 'dtype', type(values).__name__)
        raise UnreadableError(f'it must be a path, a Pillow image or a NumPy array of numbers, got {kind}')
    if values.ndim not in (2, 3) or 0 in values.shape or values.shape[2:] not in ((), (1,), (3,), (4,)):
        raise UnreadableError(f'it must be [H, W] or [H, W, C] with 1, 3 or 4 channels, got {list(values.shape)}')
    values = values.astype(values.dtype.newbyteorder('='), copy=False)
    if value_range is None and values.dtype not in (np.uint8, np.uint16):
        raise UnreadableError(
            f'it has {values.dtype} values; convert them to uint8 from 0 to 255, or train with data.image_range'
        )
    if values.ndim == 3:
        values = values[..., 0] if values.shape[2] == 1 else values[..., :3]
    return _as_rgb(to_8_bits(values, value_range))


def _as_rgb(image: UInt8Array) -> UInt8Array:
    """Return an image of one or three bands with three bands."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), dtype=np.uint8) if image.ndim == 2 else image


def has_8_bits(data: bytes) -> bool:
    """Return whether the first bytes of an image show that it has at most 8 bits per value."""
    return data.startswith(_EIGHT_BITS) or (data.startswith(PNG_SIGNATURE) and len(data) > 24 and data[24] <= 8)


class Glance(NamedTuple):
    """What the first and last bytes of an image file show.

    Attributes:
        size: height and width, equal to those of the decoded array.
        cut_off: whether a JPEG or PNG lacks its end marker; it may still be complete, with other data after its end.
        bytes: size of the file.
        time: when it was changed, in nanoseconds.
        end: checksum of its last bytes, 32 bits; files that differ in it differ.
    """

    size: tuple[int, int]
    cut_off: bool
    bytes: int
    time: int
    end: int


def _lacks_end(start: bytes, last: bytes) -> bool:
    return not last[-_LAST:].rstrip(b'\0\r\n').endswith(_end_of(start))


def glance(path: Path) -> Glance:
    """Read the first and last bytes of an image or mask.

    Raises:
        DataError: if the header cannot be read.
    """
    with reading(path):
        file, status = open_with_status(path)
        with file:
            head = file.read(HEAD)
            size = upright_size(head)
            last = head
            if status.size > HEAD:
                file.seek(-_LAST, 2)
                last = file.read()
            if size is None or size[0] * size[1] > MAX_PIXELS:
                size = _size_of(file, head)
        return Glance(size, _lacks_end(head, last), status.size, status.time, zlib.crc32(last[-_LAST:]))


def _end_of(data: bytes) -> bytes:
    """Return the end marker of a file with these first bytes; empty for formats other than JPEG and PNG."""
    for start, end in _ENDS.items():
        if data.startswith(start):
            return end
    return b''


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the header of an image or mask, equal to those of the decoded array.

    Raises:
        DataError: if the header cannot be read.
    """
    return glance(path).size


def _size_of(file: BinaryIO, head: bytes) -> tuple[int, int]:
    """Return height and width of an image of any format."""
    file.seek(0)
    if is_tiff(head):
        return first_directory(file).size
    with open_image(file) as image:
        width, height = image.size
        return (width, height) if orientation(image) >= 5 else (height, width)
