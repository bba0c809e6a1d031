"""Names of images: what may become part of a path, and the files that predictions go to."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from seglight.errors import OutputError

#: Unicode categories that break lines or control a terminal: control characters, line and paragraph separators.
_CONTROL = ('Cc', 'Zl', 'Zp')


def name_fault(name: str) -> str | None:
    """Return why a name must not become part of a path, None if it may.

    Args:
        name: the path of an image below its folder, without suffix, as data sets give it.
    """
    path = Path(name)
    if path.anchor or '..' in path.parts:
        return 'leads out of its folder'
    if path.as_posix() != name.replace(os.sep, '/') or not path.name:
        return 'is not the path of a file'
    if any(unicodedata.category(character) in _CONTROL for character in name):
        return 'has a control character or a line break'
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return 'has a character that no file name can hold'
    return None


def path_below(folder: Path, name: str, suffix: str = '') -> Path:
    """Return `{folder}/{name}{suffix}`, the file that belongs to an image.

    Raises:
        OutputError: if it would lie outside the folder, whatever the data set says.
    """
    fault = name_fault(name)
    if fault:
        raise OutputError(f'cannot write below {folder}: the image name {name!r} {fault}; rename the image')
    return folder / f'{name}{suffix}'


def clash(names: Iterable[str], suffix: str) -> tuple[str, str] | None:
    """Return two of some names where the file of the first would be a folder of the second's, None if there are none.

    Args:
        names: of images, such as `a` and `a.png/b`.
        suffix: what the files of a writer end with, such as `.png`.
    """
    files = {f'{name}{suffix}': name for name in names}
    for name in files.values():
        for parent in Path(name).parents:
            if (first := files.get(parent.as_posix())) is not None:
                return first, name
    return None
