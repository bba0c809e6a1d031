"""Reading image and mask files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from seglight.errors import DataError, one_line

UInt8Array = npt.NDArray[np.uint8]


def read_image(path: Path) -> UInt8Array:
    """Read an image as uint8 `[H, W, 3]` in RGB, upright as its EXIF orientation says.

    Grey and palette images get three equal or their own colours, 16 bits become 8 (divided by 256, as OpenCV does),
    and transparency is dropped.

    Raises:
        DataError: if the file cannot be read or decoded, or holds something else than 8 or 16 bits per colour.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(f'The image {path} cannot be read: {error.strerror}') from error
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if data.size else None
        kind = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size and image is None else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise DataError(f'The image {path} cannot be decoded: {one_line(error)}') from error
    if kind is not None:
        raise DataError(f'The image {path} has {kind.dtype} values; convert it to 8 or 16 bits per colour')
    if image is None:
        raise DataError(f'The image {path} cannot be decoded: it is damaged or no image; replace or remove it')
    return image.astype(np.uint8, copy=False)


def read_mask(path: Path) -> UInt8Array:
    """Read a mask as uint8 `[H, W]`: the indices of a palette PNG, else the grey values.

    Raises:
        DataError: if the file cannot be decoded or has more than one channel.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ('L', 'P', '1'):
                raise DataError(
                    f'The mask {path} has the mode {image.mode}; a mask has one channel of 8 bits with the labels'
                )
            return np.asarray(image, dtype=np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(
            f'The mask {path} cannot be decoded: it is damaged or no image; replace or remove it'
        ) from error


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the header of an image or mask, as `read_image` would give them.

    Raises:
        DataError: if the header cannot be read.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            # EXIF orientations 5 to 8 lie on their side. Asking a PNG for EXIF would decode all of it.
            turned = image.format in ('JPEG', 'MPO', 'WEBP') and image.getexif().get(0x0112, 1) >= 5
    except (OSError, UnidentifiedImageError, SyntaxError) as error:
        raise DataError(f'{path} cannot be read: it is damaged or no image; replace or remove it') from error
    return (width, height) if turned else (height, width)
