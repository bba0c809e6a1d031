"""Paths of the files of sources: hidden files, lists, and paths from Windows."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from seglight.errors import DataError

#: Start of the names of files and folders to ignore: `.ipynb_checkpoints`, macOS metadata, thumbnails of a NAS.
HIDDEN = ('.', '__MACOSX', '@eaDir')

MAX_LIST_BYTES = 1 << 30  #: maximum size of a text file with image paths


def paths_below(folder: Path) -> Iterator[str]:
    """Yield the paths of the files below a folder relative to it, with slashes, except in hidden folders.

    Broken links are included; reading them raises the error.

    Raises:
        DataError: if a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise DataError(f'The folder {error.filename} cannot be read: {error.strerror}') from error

    start = len(os.path.join(folder, ''))  # noqa: PTH118  (with a separator at its end)
    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        below = parent[start:].replace(os.sep, '/')
        yield from (f'{below}/{name}' for name in names) if below else names


def is_hidden(path: Path, folder: Path) -> bool:
    """Return whether a file, or a folder between it and `folder`, is hidden."""
    return any(part.startswith(HIDDEN) for part in path.relative_to(folder).parts)


def read_bounded(path: Path, what: str, maximum: int) -> bytes:
    """Return the content of a file.

    Args:
        path: the file.
        what: text before its path in errors.
        maximum: maximum size in bytes.

    Raises:
        DataError: if it cannot be read, is larger, or is not a regular file: reading a pipe could block forever.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f'{what} {path} cannot be read: it is not a regular file')
        if status.st_size > maximum:
            size = f'{status.st_size} bytes, more than the maximum of {maximum}'
            raise DataError(f'{what} {path} cannot be read: it has {size}')
        return path.read_bytes()
    except OSError as error:
        raise DataError(f'{what} {path} cannot be read: {error.strerror}') from error
    except MemoryError as error:
        raise DataError(f'{what} {path} cannot be read: it does not fit into memory') from error


def read_list(path: Path) -> list[str]:
    """Return the non-empty lines of a text file; bytes that are not UTF-8 are kept, as in file names.

    Raises:
        DataError: if it cannot be read or is empty.
    """
    data = read_bounded(path, 'The list of images', MAX_LIST_BYTES)
    text = data.decode('utf-8-sig', errors='surrogateescape')
    if '\0' in text:
        raise DataError(f'The list of images {path} is not UTF-8 text; give one image path per line')
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise DataError(f'The list of images {path} is empty')
    return names


def with_slashes(name: str) -> str:
    """Return a path with slashes in place of the backslashes of Windows."""
    return name.replace('\\', '/')


def path_in(folder: Path, name: str) -> Path:
    """Return the path of a file in a folder.

    Where no file has exactly this name, backslashes are separators, and `%20` and the like, as labelling tools write
    them for names in URLs, are the characters that they encode if a file has that name.
    """
    path = folder / name
    if not {'\\', '%'} & set(name) or os.path.lexists(path):
        return path
    decoded = with_slashes(unquote(name))
    leads_out = Path(decoded).is_absolute() != Path(name).is_absolute()
    return folder / (decoded if os.path.lexists(folder / decoded) and not leads_out else with_slashes(name))
