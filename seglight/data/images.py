"""Reading image and mask files."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from seglight.data.jpeg import IncompleteError, decode_jpeg, orientation
from seglight.data.png import SIGNATURE, decode_png
from seglight.errors import DataError, one_line

UInt8Array = npt.NDArray[np.uint8]

Image.MAX_IMAGE_PIXELS = 1 << 30  # as OpenCV has it; Pillow warns of aerial images that are nothing unusual
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what cannot be decoded is told in an error

#: What files of a format begin and end with.
_ENDS = {b'\xff\xd8\xff': b'\xff\xd9', SIGNATURE: b'IEND\xaeB`\x82'}


def read_image(path: Path) -> UInt8Array:
    """Read an image as uint8 `[H, W, 3]` in RGB, upright as its EXIF orientation says.

    Grey and palette images get three equal or their own colours, 16 bits become 8 (divided by 256, as OpenCV does),
    and transparency is dropped.

    Raises:
        DataError: if the file cannot be read or decoded, or holds something else than 8 or 16 bits per colour.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f'The image {path} cannot be read: {error.strerror}') from error
    try:
        upright = decode_jpeg(data)
        if upright is None and data.rfind(_end_of(data)) < 0:  # OpenCV would fill it up, or print more than a line
            raise IncompleteError
    except IncompleteError as error:
        raise DataError(
            f'The image {path} cannot be decoded: it is cut off or damaged; replace or remove it'
        ) from error
    if upright is not None:
        return upright
    pixels = np.frombuffer(data, dtype=np.uint8)
    try:
        image = cv2.imdecode(pixels, cv2.IMREAD_COLOR_RGB) if data else None
        kind = cv2.imdecode(pixels, cv2.IMREAD_UNCHANGED) if data and image is None else None
    except cv2.error as error:  # more pixels than OpenCV takes
        raise DataError(f'The image {path} cannot be decoded: {one_line(error)}') from error
    if kind is not None:
        raise DataError(f'The image {path} has {kind.dtype} values; convert it to 8 or 16 bits per colour')
    if image is None:
        raise DataError(f'The image {path} cannot be decoded: it is damaged or no image; replace or remove it')
    return image.astype(np.uint8, copy=False)


def read_mask(path: Path, colours: bool = False) -> npt.NDArray[np.uint8 | np.uint16]:
    """Read a mask: `[H, W]`, the indices of a palette image or else the grey values, uint8 or uint16.

    Args:
        path: the file.
        colours: whether an RGB mask is read too, as uint8 `[H, W, 3]`.

    Raises:
        DataError: if the file cannot be decoded or has channels that are not wanted.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f'The mask {path} does not exist') from error
    except OSError as error:
        raise DataError(f'The mask {path} cannot be read: {error.strerror}') from error
    labels = decode_png(data)
    if labels is not None:
        return labels
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode in ('L', 'P', '1'):
                return np.asarray(image, dtype=np.uint8)
            if image.mode.startswith('I;16') or image.mode == 'I':  # Pillow reads some 16-bit files as 32 bits
                values = np.asarray(image)
                if values.min() < 0 or values.max() > 65535:
                    raise DataError(
                        f'The mask {path} has labels from {values.min()} to {values.max()}; '
                        'write it anew with labels from 0 to 65535'
                    )
                return values.astype(np.uint16)
            if image.mode in ('RGB', 'RGBA') and colours:
                return np.asarray(image.convert('RGB'), dtype=np.uint8)
            raise DataError(
                f'The mask {path} has the mode {image.mode}; a mask has one channel of 8 or 16 bits with the labels, '
                'or RGB colours that data.palette gives'
            )
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'The mask {path} cannot be decoded: {_reason(error)}') from error


def read_colours(path: Path) -> UInt8Array:
    """Read a mask by its colours, uint8 `[H, W, 3]` RGB, whether it has a palette, RGB or grey values.

    Raises:
        DataError: if the file cannot be decoded or has values of more than 8 bits.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ('1', 'L', 'P', 'RGB', 'RGBA'):
                raise DataError(f'The mask {path} has the mode {image.mode}; colours need a palette or RGB of 8 bits')
            return np.asarray(image.convert('RGB'), dtype=np.uint8)
    except FileNotFoundError as error:
        raise DataError(f'The mask {path} does not exist') from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'The mask {path} cannot be decoded: {_reason(error)}') from error


def may_be_cut_off(path: Path) -> bool:
    """Tell whether a JPEG or PNG does not end as it should; it may still be whole, with something after its end.

    Only the first and the last bytes are read; files of other formats, and what cannot be read, are not told.
    """
    try:
        with path.open('rb') as file:
            start = file.read(8)
            file.seek(-min(64, file.seek(0, 2)), 2)
            last = file.read()
    except OSError:
        return False
    return not last.rstrip(b'\0\r\n').endswith(_end_of(start))


def _end_of(data: bytes) -> bytes:
    """Return what a file that begins like this ends with; nothing for other formats than JPEG and PNG."""
    return next((end for start, end in _ENDS.items() if data.startswith(start)), b'')


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the header of an image or mask, as `read_image` would give them.

    Raises:
        DataError: if the header cannot be read.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.format in ('JPEG', 'MPO', 'WEBP', 'PNG') and orientation(image) >= 5  # those lie on a side
    except FileNotFoundError as error:
        raise DataError(f'{path} does not exist; correct the path, or what names it') from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f'{path} cannot be read: {_reason(error)}') from error
    return (width, height) if turned else (height, width)


def _reason(error: Exception) -> str:
    """Return why a file cannot be read or decoded, and the cure: the system's reason where it has one."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):
        return 'it says that it has more pixels than can be read; cut it into tiles'
    return 'it is damaged or no image; replace or remove it'
