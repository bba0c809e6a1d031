"""Reading image files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.data.formats import IncompleteError, UnreadableError, open_file, open_image, read_bytes, reading
from seglight.data.jpeg import decode_jpeg
from seglight.data.orientation import orientation, orientation_in, upright
from seglight.data.png import SIGNATURE
from seglight.data.tiff import first_directory, is_tiff, read_bands
from seglight.data.value_range import ValueRange, to_8_bits

#: What files of a format begin and end with.
_ENDS = {b'\xff\xd8\xff': b'\xff\xd9', SIGNATURE: b'IEND\xaeB`\x82'}

#: What files of formats begin with that have 8 bits at most; and JPEG, of which OpenCV knows no other.
_EIGHT_BITS = (b'\xff\xd8\xff', b'BM', b'GIF8', b'RIFF')


def read_image(path: Path, value_range: ValueRange | None = None) -> UInt8Array:
    """Read an image as uint8 `[H, W, 3]` in RGB, upright as its EXIF orientation says.

    Grey and palette images get three equal or their own colours; transparency and a fourth band are dropped. Of
    several pages the first is read.

    Args:
        path: a regular file in one of the formats of `IMAGE_SUFFIXES`, whatever its own suffix.
        value_range: for more than 8 bits, see `to_8_bits`.

    Raises:
        DataError: if the file cannot be read or decoded, or has values that need a range, or too many bands.
    """
    with reading(path, 'The image '):
        data = read_bytes(path)
        image = decode_jpeg(data)
        return image if image is not None else _as_rgb(to_8_bits(decode(data), value_range))


def decode(data: bytes) -> npt.NDArray[Any]:
    """Decode an image file: `[H, W]` grey, or `[H, W, 3]` or `[H, W, 4]` RGB, upright, of the file's own type.

    Raises:
        UnreadableError: for a TIFF of another number of bands.
        Exception: whatever else decoders raise.
    """
    if is_tiff(data):
        bands = read_bands(data)
        return bands if bands is not None else _by_pillow(data)
    if data.rfind(_end_of(data)) < 0:  # OpenCV would fill it up, or print more than a line
        raise IncompleteError
    turned = orientation_in(data)
    pixels = np.frombuffer(data, dtype=np.uint8)
    if has_8_bits(data):
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    else:
        image = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED)  # ignores the orientation, too
        if image is not None and image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGB)
    return upright(np.asarray(image), turned) if image is not None else _by_pillow(data)


def _by_pillow(data: bytes) -> npt.NDArray[Any]:
    """Decode what OpenCV does not take, upright: `[H, W]` of more than 8 bits, or else uint8 `[H, W, 3]`."""
    with open_image(io.BytesIO(data)) as image:
        deep = image.mode.startswith(('I', 'F'))
        values = np.array(image if deep else image.convert('RGB'))
        # Pillow has turned TIFF while it decoded it.
        return upright(values, 1 if image.format == 'TIFF' else orientation(image))


def _as_rgb(image: UInt8Array) -> UInt8Array:
    """Return an image of one band, or of three, with three."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB), dtype=np.uint8) if image.ndim == 2 else image


def has_8_bits(data: bytes) -> bool:
    """Tell whether an image has 8 bits a value or fewer, as far as its first bytes tell."""
    return data.startswith(_EIGHT_BITS) or (data.startswith(SIGNATURE) and len(data) > 24 and data[24] <= 8)


def may_be_cut_off(path: Path) -> bool:
    """Tell whether a JPEG or PNG does not end as it should; it may still be whole, with something after its end.

    Only the first and the last bytes are read; files of other formats, and what cannot be read, are not told.
    """
    try:
        with open_file(path) as file:
            start = file.read(8)
            file.seek(-min(64, file.seek(0, 2)), 2)
            last = file.read()
    except (OSError, UnreadableError):
        return False
    return not last.rstrip(b'\0\r\n').endswith(_end_of(start))


def _end_of(data: bytes) -> bytes:
    """Return what a file that begins like this ends with; nothing for other formats than JPEG and PNG."""
    return next((end for start, end in _ENDS.items() if data.startswith(start)), b'')


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the header of an image or mask, as `read_image` and `read_mask` would give them.

    Raises:
        DataError: if the header cannot be read.
    """
    with reading(path), open_file(path) as file:
        if is_tiff(file.read(4)):
            return first_directory(file).size
        file.seek(0)
        with open_image(file) as image:
            width, height = image.size
            return (width, height) if orientation(image) >= 5 else (height, width)
