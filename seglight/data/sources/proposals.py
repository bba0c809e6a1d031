"""Name the file or folder that was probably meant where a source finds none, or one of the other kind."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from seglight.data.sources.base import kind_of
from seglight.errors import DataError
from seglight.similar import nearest

#: Entries of a folder that are looked at, so that a folder of a million images costs nothing.
_MOST = 10_000

#: Folders that data sets often have next to their images.
_ANNOTATIONS = ('.', 'annotations', 'labels')


def check_annotations(path: Path) -> None:
    """Reject the path of annotations that is a folder or missing, with the JSON files that are there.

    Raises:
        DataError: names the path, and the file that was probably meant.
    """
    kind = kind_of(path)
    if kind == 'file':
        return
    if kind == 'folder':
        found = _names(path, '.json')
        cure = f': set ann_file to {_shown(path / name for name in found)}' if found else ''
        raise DataError(f'The annotations {path} are a folder, which must be a JSON file{cure}')
    there = [file for name in _ANNOTATIONS for file in _below(path.parent / name, '.json')]
    if not there and not path.parent.is_dir():  # the folder is missing, too
        there = [file for name in _ANNOTATIONS for file in _below(path.parent.parent / name, '.json')]
    cure = f'; found {_shown(there)}' if there else ''
    raise DataError(f'The annotations {path} cannot be read: No such file or directory{cure}')


def check_folder(folder: Path, what: str, cure: str) -> None:
    """Reject a path that is not a folder.

    Args:
        folder: the path.
        what: such as `image folder`.
        cure: how to set it, for the message.

    Raises:
        DataError: names the path, and the source that reads the file, or the folder that was probably meant.
    """
    kind = kind_of(folder)
    if kind == 'folder':
        return
    if kind == 'file':
        raise DataError(f'The {what} {folder} is a file; {_source_of(folder, folder)}')
    for place in (folder.parent.parent, *(folder.parent.parent / name for name in _ANNOTATIONS[1:])):
        file = place / folder.name
        if folder.suffix and file.is_file():
            raise DataError(f'The {what} {folder} does not exist, but the file {file} does; {_source_of(file, folder)}')
    folders = [entry.name for entry in _entries(folder.parent) if entry.is_dir() and not entry.name.startswith('.')]
    near = nearest(folder.name, folders)
    raise DataError(f'The {what} {folder} does not exist; {cure}{near}')


def _source_of(file: Path, folder: Path) -> str:
    """Return which source reads a file."""
    suffix = file.suffix.lower()
    if suffix == '.json':
        return f'use {{type: CocoSource, ann_file: {file.name}, img_dir: ...}}, with paths relative to data.root'
    if suffix in ('.zip', '.tar', '.gz', '.tgz'):
        return f'use {{type: ArchiveSource, path: {file.name}, ...}}'
    if suffix == '.txt':
        return f'use split: {file.name} with img_dir and ann_dir'
    return f'must be a folder, for example {folder.parent}'


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the first entries of a folder, none if it cannot be read."""
    found: list[os.DirEntry[str]] = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found.append(entry)
            if len(found) == _MOST:
                break
    return found


def _names(folder: Path, suffix: str) -> list[str]:
    return sorted(entry.name for entry in _entries(folder) if entry.name.lower().endswith(suffix) and entry.is_file())


def _below(folder: Path, suffix: str) -> list[Path]:
    return [folder / name for name in _names(folder, suffix)]


def _shown(files: Iterable[Path]) -> str:
    """Return the first three paths in a line."""
    paths = [str(file) for file in files]
    more = f' and {len(paths) - 3} more' if len(paths) > 3 else ''
    return f'{" or ".join(paths[:3])}{more}'
