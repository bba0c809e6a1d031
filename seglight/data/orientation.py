"""EXIF orientation: reading it, and turning images upright."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy.typing as npt
from PIL import Image

from seglight.data.formats import open_image

_ORIENTATION = 0x0112  #: EXIF's tag; 1 is upright
PREFIX = b'Exif\0\0'  #: of EXIF in JPEG, which some programs write into other formats too


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened file, 1 to 8; 1 if it is missing or damaged.

    Not for TIFF, which stores it as a tag of the image itself.
    """
    return orientation_of(image.info.get('exif', b''))  # not of `image.getexif()`, which reads XMP, unlike OpenCV


def orientation_of(content: bytes) -> int:
    """Return the orientation in EXIF data, 1 to 8; 1 if it is missing or damaged."""
    exif = Image.Exif()
    try:
        exif.load(content)
        return valid(exif.get(_ORIENTATION, 1))
    except Exception:  # of any type; like in OpenCV and libjpeg, damaged EXIF does not make the pixels unreadable
        return 1


def orientation_in(data: bytes) -> int:
    """Return the EXIF orientation of an image file other than TIFF; 1 if Pillow cannot open it.

    Raises:
        DecompressionBombError: if its header states more than `MAX_PIXELS`.
    """
    try:
        with open_image(io.BytesIO(data)) as image:
            return orientation(image)
    except Image.DecompressionBombError:
        raise
    except Exception:  # other decoders can read some of these files
        return 1


def valid(found: object) -> int:
    """Return an orientation from a file; 1 for any value that is not 1 to 8."""
    return found if isinstance(found, int) and found in range(1, 9) else 1


def jpeg_may_be_turned(data: bytes) -> bool:
    """Return whether a JPEG has EXIF before its pixels."""
    position = 2
    while data[position : position + 1] == b'\xff' and position + 4 <= len(data):
        marker, length = struct.unpack_from('>xBH', data, position)
        if marker == 0xDA:  # start of the pixels
            return False
        if marker == 0xE1 and data.startswith(PREFIX, position + 4):
            return True
        position += 2 + length
    return PREFIX in data  # unusual segments: let Pillow decide


def upright(image: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn pixels `[H, W]` or `[H, W, C]` upright.

    Orientations 5 to 8 are transposed, then all but 1 and 5 are flipped.
    """
    if orientation == 1:
        return image
    result = cv2.transpose(image) if orientation >= 5 else image
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return result if flip is None else cv2.flip(result, flip)
