"""Paths of the files that sources read: what is hidden, lists, and names written on Windows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from seglight.errors import DataError

#: What the names of files and folders begin with that are no part of the data: `.ipynb_checkpoints`, copies of macOS,
#: thumbnails of a network drive.
HIDDEN = ('.', '__MACOSX', '@eaDir')


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


def read_list(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty; bytes that are no UTF-8 stay those of file names.

    Raises:
        DataError: if it cannot be read or holds none.
    """
    try:
        text = path.read_text(encoding='utf-8-sig', errors='surrogateescape')
    except OSError as error:
        raise DataError(f'The list of images {path} cannot be read: {error.strerror}') from error
    if '\0' in text:
        raise DataError(f'The list of images {path} is no text in UTF-8; give one image path a line')
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
