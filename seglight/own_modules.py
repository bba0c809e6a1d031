"""Make a user's modules in the working folder importable, but only if the user names one.

Libraries look for optional packages, such as `torch_xla`, at every start. A module of that name in an untrusted
working folder must not run, so the folder is not searched until the user names a module in it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

#: The first two names of a dotted path, `own_losses` and `Focal` in `own_losses.Focal`; not of the path of a file.
_NAMES = re.compile(r'(?<![\w./\\-])([A-Za-z_]\w*)\.([A-Za-z_]\w*)')


def leave_working_folder() -> None:
    """Remove the working folder, which `python -m` puts first, from `sys.path`, unless it contains seglight itself."""
    with suppress(OSError):  # the working folder was deleted
        here = Path.cwd()
        if sys.path and sys.path[0] in ('', str(here)) and here != Path(__file__).parents[1]:
            del sys.path[0]


def find_named(value: Any) -> None:
    """Put the working folder last in `sys.path` if a text in nested values names a module in it.

    Args:
        value: the user's values, from the command line or a config.
    """
    with suppress(OSError):
        here = str(Path.cwd())
        known = {'', here} & set(sys.path)
        if not known and any(_is_here(*names) for text in _texts(value) for names in _NAMES.findall(text)):
            sys.path.append(here)


def _is_here(name: str, inner: str) -> bool:
    """Return whether a module, or a package that has something of a name, is in the working folder and nowhere else."""
    files = Path(f'{name}.py'), Path(name, '__init__.py'), Path(name, f'{inner}.py')
    if name in sys.modules or not (any(map(Path.is_file, files)) or Path(name, inner).is_dir()):
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
