"""How an image file says that its picture lies on a side, and turning it upright."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy.typing as npt
from PIL import Image

from seglight.data.formats import open_image

_ORIENTATION = 0x0112  #: EXIF's tag; 1 is upright
_PREFIX = b'Exif\0\0'  #: of EXIF in JPEG, which some programs write into other formats too


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an opened file, 1 to 8; 1 where there is none, or where it is damaged.

    Not for TIFF, where it is a tag of the image itself.
    """
    content = image.info.get('exif', b'')
    exif = Image.Exif()
    try:
        # Not `image.getexif()`, which looks into XMP too, unlike OpenCV.
        exif.load(content)
        return valid(exif.get(_ORIENTATION, 1))
    except Exception:  # of many kinds; as for OpenCV and libjpeg, damaged EXIF does not make the pixels unreadable
        return 1


def orientation_in(data: bytes) -> int:
    """Return the EXIF orientation of an image file that is no TIFF; 1 where Pillow cannot open it.

    Raises:
        DecompressionBombError: if its header states more pixels than are read.
    """
    try:
        with open_image(io.BytesIO(data)) as image:
            return orientation(image)
    except Image.DecompressionBombError:
        raise
    except Exception:  # other decoders take some of these files
        return 1


def valid(found: object) -> int:
    """Return an orientation as it is read from a file, and 1 for any other value than 1 to 8."""
    return found if isinstance(found, int) and found in range(1, 9) else 1


def jpeg_may_be_turned(data: bytes) -> bool:
    """Tell whether a JPEG has EXIF before its pixels, however long its other segments are."""
    position = 2
    while data[position : position + 1] == b'\xff' and position + 4 <= len(data):
        marker, length = struct.unpack_from('>xBH', data, position)
        if marker == 0xDA:  # the pixels begin
            return False
        if marker == 0xE1 and data.startswith(_PREFIX, position + 4):
            return True
        position += 2 + length
    return _PREFIX in data  # segments of another kind: Pillow has a look


def upright(image: npt.NDArray[Any], turned: int) -> npt.NDArray[Any]:
    """Turn pixels `[H, W]` or `[H, W, C]` upright.

    Orientations 5 to 8 are mirrored at the diagonal, then any is flipped.
    """
    if turned == 1:
        return image
    result = cv2.transpose(image) if turned >= 5 else image
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(turned)
    return result if flip is None else cv2.flip(result, flip)
