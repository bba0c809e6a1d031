"""Paths of the files that sources read: what is hidden, lists, and names written on Windows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from seglight.errors import DataError

#: What the names of files and folders begin with that are no part of the data: `.ipynb_checkpoints`, copies of macOS,
#: thumbnails of a network drive.
HIDDEN = ('.', '__MACOSX', '@eaDir')

LARGEST_LIST = 1 << 30  #: bytes of a text file with the paths of images


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, without those in hidden folders.

    Links that lead nowhere are yielded too: whoever reads them reports it.

    Raises:
        DataError: if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f'The folder {error.filename} cannot be read: {error.strerror}') from error

    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        yield from (Path(parent, name) for name in names)


def is_hidden(path: Path, folder: Path) -> bool:
    """Tell whether a file, or a folder between it and the given one, is hidden."""
    return any(part.startswith(HIDDEN) for part in path.relative_to(folder).parts)


def read_bounded(path: Path, what: str, largest: int) -> bytes:
    """Return the content of a file.

    Args:
        path: the file.
        what: it is, for errors.
        largest: bytes that it may have.

    Raises:
        DataError: if it cannot be read, is larger, or is no regular file: a pipe would be waited for without end.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f'{what} {path} cannot be read: it is not a regular file')
        if status.st_size > largest:
            raise DataError(f'{what} {path} cannot be read: it has {status.st_size} bytes, {largest} are possible')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{what} {path} cannot be read: {error.strerror}') from error
    except MemoryError as error:
        raise DataError(f'{what} {path} cannot be read: it does not fit into the memory') from error


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; bytes that are no UTF-8 stay those of file names.

    Raises:
        DataError: if it cannot be read or holds none.
    """
    data = read_bounded(path, 'The list of images', LARGEST_LIST)
    text = data.decode('utf-8-sig', errors='surrogateescape')
    if '\0' in text:
        raise DataError(f'The list of images {path} is not UTF-8 text; give one image path per line')
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f'The list of images {path} is empty')
    return names


def with_slashes(name: str) -> str:
    """Return the path of a file written on Windows, whose separators are backslashes, as one of other systems."""
    return name.replace('\\', '/')


def path_in(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder; backslashes are separators unless a file has them in its name."""
    path = folder / name
    return path if '\\' not in name or os.path.lexists(path) else folder / with_slashes(name)
