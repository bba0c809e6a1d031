"""A user's own modules in the working folder: they are found if the user names one, and only then.

Libraries look for optional packages at every start, such as `torch_xla`. A module of that name in a working folder
that a stranger filled must not run, so the folder is no place to look in until the user names a module in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

#: The first name of a dotted path, such as `own_losses` of `own_losses.Focal`.
_FIRST = re.compile(r'(?<![\w.])([A-Za-z_]\w*)(?=\.[A-Za-z_])')


def leave_working_folder() -> None:
    """Take the working folder, which `python -m` puts first, out of `sys.path`, unless seglight itself lies in it."""
    with suppress(OSError):  # the working folder was deleted
        here = Path.cwd()
        if sys.path and sys.path[0] in ('', str(here)) and here != Path(__file__).parents[1]:
            del sys.path[0]


def find_named(value: Any) -> None:
    """Put the working folder last in `sys.path` if a text in nested values names a module in it.

    Args:
        value: words of the user's: of the command line or of a config.
    """
    with suppress(OSError):
        here = str(Path.cwd())
        known = {'', here} & set(sys.path)
        if not known and any(_is_here(name) for text in _texts(value) for name in _FIRST.findall(text)):
            sys.path.append(here)


def _is_here(name: str) -> bool:
    """Tell whether a module is in the working folder and nowhere else."""
    if name in sys.modules or not (Path(f'{name}.py').is_file() or Path(name).is_dir()):
        return False
    return PathFinder.find_spec(name) is None


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)
