"""Which image files are read, how much of one, and how a decoder's failure is reported."""

from __future__ import annotations

import errno
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

import cv2
from PIL import Image, UnidentifiedImageError

from seglight.errors import DataError, one_line

#: What the names of image files end with. Every source and `--input` looks for these.
IMAGE_SUFFIXES = frozenset(
    [
        '.avif',
        '.bmp',
        '.dib',
        '.gif',
        '.j2k',
        '.jfif',
        '.jp2',
        '.jpe',
        '.jpeg',
        '.jpg',
        '.pbm',
        '.pgm',
        '.png',
        '.pnm',
        '.ppm',
        '.tif',
        '.tiff',
        '.webp',
    ]
)

#: The modules of Pillow that open those, where it has them.
_PLUGINS = ('Avif', 'Bmp', 'Gif', 'Jpeg2K', 'Jpeg', 'Mpo', 'Png', 'Ppm', 'Tiff', 'WebP')

for _name in _PLUGINS:
    with suppress(ImportError):  # AVIF came with Pillow 11.3
        import_module(f'PIL.{_name}ImagePlugin')

#: The formats that Pillow may open. No others: for PostScript, whatever the file's suffix, it would run a program.
PILLOW_FORMATS = tuple(
    {'AVIF', 'BMP', 'DIB', 'GIF', 'JPEG', 'JPEG2000', 'MPO', 'PNG', 'PPM', 'TIFF', 'WEBP'} & Image.OPEN.keys()
)

MAX_BYTES = 1 << 32  #: of an image file
MAX_PIXELS = 1 << 30  #: of an image, as in OpenCV

warnings.filterwarnings('ignore', module=r'PIL\.')  # what it finds odd in a file that it reads all the same
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow warns above its own limit, which aerial images exceed
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a failure is reported by an error


class IncompleteError(ValueError):
    """A file is cut off, or damaged so that some of its pixels are unknown."""


class UnreadableError(ValueError):
    """A file is not read, for the reason that the text gives, with the cure."""


def open_file(path: Path) -> BinaryIO:
    """Open a regular file of at most `MAX_BYTES`; a pipe, a device or a socket is not even opened.

    Raises:
        OSError: if the file cannot be opened.
        UnreadableError: if it is something else than a regular file, or too large.
    """
    _check_status(path.stat())
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 'rb')
    try:
        _check_status(os.fstat(file.fileno()))  # of what was opened, which may be another by now
    except (OSError, UnreadableError):
        file.close()
        raise
    return file


def _check_status(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError('it is not a regular file; replace or remove it')
    if not status.st_size:
        raise UnreadableError('it is empty; replace or remove it')
    if status.st_size > MAX_BYTES:
        raise UnreadableError(
            f'it has {status.st_size} bytes, of which at most {MAX_BYTES} are read; cut it into tiles'
        )


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file of at most `MAX_BYTES`.

    Raises:
        OSError: if it cannot be read.
        UnreadableError: if it is something else than a regular file, or too large.
    """
    with open_file(path) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # never more than was checked


@contextmanager
def reading(path: Path, what: str = '') -> Iterator[None]:
    """Turn whatever a decoder raises into the error of a file that cannot be read.

    Args:
        path: the file.
        what: what it is called before its path, for example `The mask `.

    Raises:
        DataError: for any exception but one that is a `DataError` already.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f'{what}{path} does not exist; correct the path, or what names it') from error
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        raise DataError(f'{what}{path} cannot be read: {reason(error)}') from error


def reason(error: Exception) -> str:
    """Return why a file cannot be read, and the cure: the system's reason where there is one."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return 'its header states more pixels than can be read; cut it into tiles'
    if isinstance(error, MemoryError):
        return 'it needs more memory than there is; cut it into tiles'
    cut_off = isinstance(error, OSError) and ('truncated' in str(error) or 'broken data' in str(error))  # Pillow's
    if cut_off or isinstance(error, (IncompleteError, EOFError, struct.error)):
        return 'it is cut off or damaged; replace or remove it'
    if isinstance(error, UnidentifiedImageError):
        return 'it is damaged or not an image; replace or remove it'
    text = one_line(error)[:200]
    return f'it is damaged or unusual ({type(error).__name__}{": " * bool(text)}{text}); save it anew or remove it'


def open_image(file: BinaryIO) -> Image.Image:
    """Open an image with Pillow, in one of the formats that are read; its pixels are not decoded yet.

    Raises:
        DecompressionBombError: if the header states more than `MAX_PIXELS`.
        Exception: whatever else Pillow raises for a damaged file.
    """
    image = Image.open(file, formats=PILLOW_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image
