"""Which image files are read, up to which size, and how decoding errors are reported."""

from __future__ import annotations

import errno
import os
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import FileIO
from typing import BinaryIO

import cv2
from PIL import Image, ImageFile, UnidentifiedImageError

from seglight.errors import DataError, one_line

#: Suffixes of image files, for every source and `--input`.
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

#: Pillow's plugins for these formats.
_PLUGINS = ('Avif', 'Bmp', 'Gif', 'Jpeg2K', 'Jpeg', 'Mpo', 'Png', 'Ppm', 'Tiff', 'WebP')

for _name in _PLUGINS:
    with suppress(ImportError):  # AVIF needs Pillow 11.3
        import_module(f'PIL.{_name}ImagePlugin')

#: The only formats that Pillow may open: for PostScript, whatever the file's suffix, it would run a program.
PILLOW_FORMATS = tuple(
    {'AVIF', 'BMP', 'DIB', 'GIF', 'JPEG', 'JPEG2000', 'MPO', 'PNG', 'PPM', 'TIFF', 'WEBP'} & Image.OPEN.keys()
)

StrPath = str | os.PathLike[str]

#: How files are opened: without waiting for a pipe, which Windows does not have, and without its line breaks.
_FLAGS = os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0)

MAX_BYTES = 1 << 32  #: per image file
MAX_PIXELS = 1 << 30  #: per image, as in OpenCV

warnings.filterwarnings('ignore', module=r'PIL\.')  # about oddities in files that it can read
Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # aerial images exceed Pillow's own limit
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # errors report failures


class IncompleteError(ValueError):
    """A file is cut off, or damaged so that some of its pixels are unknown."""


class UnreadableError(ValueError):
    """A file cannot be read; the message gives the cause and the cure."""


def open_regular(path: StrPath, maximum: int | None = MAX_BYTES) -> FileIO:
    """Open a regular file, unbuffered; never open a pipe, a device or a socket.

    Args:
        path: the file.
        maximum: maximum size in bytes, None for any.

    Raises:
        OSError: if the file cannot be opened.
        UnreadableError: if it is empty, too large or not a regular file.
    """
    return open_with_stat(path, maximum)[0]


def open_with_stat(path: StrPath, maximum: int | None = MAX_BYTES) -> tuple[FileIO, os.stat_result]:
    """Open a regular file like `open_regular`; return its status, too."""
    check_status(os.stat(path), maximum)  # noqa: PTH116  (twice as fast)
    file = FileIO(os.open(path, _FLAGS))
    try:
        status = os.fstat(file.fileno())
        check_status(status, maximum)  # again: the path may have changed meanwhile
    except (OSError, UnreadableError):
        file.close()
        raise
    return file, status


def check_status(status: os.stat_result, maximum: int | None = MAX_BYTES) -> None:
    """Check that a file is regular and not empty, and its size.

    Raises:
        OSError: for a folder.
        UnreadableError: otherwise.
    """
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError('it is not a regular file; replace or remove it')
    check_size(status.st_size, maximum)


def check_size(size: int, maximum: int | None = MAX_BYTES) -> None:
    """Check the size of a file in bytes.

    Raises:
        UnreadableError: if it is empty or too large.
    """
    if not size:
        raise UnreadableError('it is empty; replace or remove it')
    if maximum is not None and size > maximum:
        raise UnreadableError(f'it has {size} bytes, more than the maximum of {maximum}; cut it into tiles')


@contextmanager
def reading(path: StrPath, what: str = '') -> Iterator[None]:
    """Turn any exception of a decoder into a `DataError` that names the file.

    Args:
        path: the file.
        what: text before its path, for example `The mask `.

    Raises:
        DataError: for any exception.
    """
    try:
        yield
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f'{what}{path} does not exist; correct the path') from error
    except Exception as error:  # a damaged file can make decoders raise anything
        raise DataError(f'{what}{path} cannot be read: {reason(error)}') from error


def reason(error: Exception) -> str:
    """Return why a file cannot be read, with the cure; the operating system's message if there is one."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, UnreadableError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return 'its header states more pixels than can be read; cut it into tiles'
    if isinstance(error, MemoryError):
        return 'it does not fit into memory; cut it into tiles'
    cut_off = isinstance(error, OSError) and ('truncated' in str(error) or 'broken data' in str(error))  # Pillow's
    if cut_off or isinstance(error, (IncompleteError, EOFError, struct.error)):
        return 'it is cut off or damaged; replace or remove it'
    if isinstance(error, UnidentifiedImageError):
        return 'it is damaged or not an image; replace or remove it'
    text = one_line(error)[:200]
    return f'it is damaged or unusual ({type(error).__name__}{": " * bool(text)}{text}); save it again or remove it'


def open_image(file: BinaryIO) -> ImageFile.ImageFile:
    """Open an image of a supported format with Pillow, without decoding its pixels.

    Raises:
        DecompressionBombError: if the header states more than `MAX_PIXELS`.
        Exception: of any type, for a damaged file.
    """
    image = Image.open(file, formats=PILLOW_FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image
