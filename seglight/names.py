"""Names of images: which may become part of a path, and the files that predictions are written to."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from seglight.errors import OutputError

#: Unicode categories that break lines or control a terminal: control characters, line and paragraph separators.
_CONTROL = ('Cc', 'Zl', 'Zp')


#: Names that nothing is wrong with, found many times as fast.
_PLAIN = re.compile(r'(?:[A-Za-z0-9_-][A-Za-z0-9_. -]*/)*[A-Za-z0-9_-][A-Za-z0-9_. -]*')


def name_fault(name: str) -> str | None:
    """Return why a name must not become part of a path, None if it may.

    Args:
        name: the path of an image relative to its folder, without suffix, as the data set gives it.
    """
    if _PLAIN.fullmatch(name):
        return None
    path = Path(name)
    if path.anchor or '..' in path.parts:
        return 'leads out of its folder'
    if path.as_posix() != name.replace(os.sep, '/') or not path.name:
        return 'is not the path of a file'
    if has_control_characters(name):
        return 'has a control character or a line break'
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return 'has a character that file names cannot contain'
    return None


def file_name(name: str, image: str | Path) -> str:
    """Return the path of an image below its folder, with its suffix.

    Args:
        name: of the image, which may lack more than the suffix: `street` of `street_leftImg8bit.png`.
        image: the file.
    """
    file, last = Path(image).name, name.rpartition('/')[2]
    return name + (file[len(last) :] if file.startswith(last) else Path(file).suffix)


def has_control_characters(text: str) -> bool:
    """Return whether a text breaks lines or controls a terminal."""
    return any(unicodedata.category(character) in _CONTROL for character in text)


def path_below(folder: Path, name: str, suffix: str = '') -> Path:
    """Return `{folder}/{name}{suffix}`, the file that belongs to an image.

    Raises:
        OutputError: if the name is not allowed in a path, with or without the suffix; for example, it would leave the
            folder.
    """
    file = f'{name}{suffix}'
    fault = name_fault(name) or name_fault(file)
    if fault:
        raise OutputError(f'cannot write below {folder}: the image name {name!r} {fault}; rename the image')
    return folder / file


def clash(names: Iterable[str], suffix: str) -> tuple[str, str] | None:
    """Return two names where the first one's file would have to be a folder of the second's, None if there are none.

    Args:
        names: of images, for example `a` and `a.png/b`.
        suffix: of the files to write, for example `.png`.
    """
    files = {f'{name}{suffix}': name for name in names}
    for name in files.values():
        for parent in Path(name).parents:
            if (first := files.get(parent.as_posix())) is not None:
                return first, name
    return None
