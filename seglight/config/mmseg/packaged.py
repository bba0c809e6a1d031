"""The configs in mmsegmentation's package."""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path

from seglight.errors import UsageError


@cache
def zoo_folder() -> Path:
    """Return the folder of the configs in mmsegmentation's package, without importing it.

    Raises:
        UsageError: if the installed mmsegmentation contains none.
    """
    spec = importlib.util.find_spec('mmseg')
    folder = Path(spec.origin).parent / '.mim' if spec and spec.origin else Path()
    if not (folder / 'configs').is_dir():
        raise UsageError(
            'the installed mmsegmentation contains no configs; install mmsegmentation==0.30.0 from its wheel'
        )
    return folder / 'configs'


def packaged(path: Path) -> Path | None:
    """Return the file in mmseg's package for a path below a folder `configs`; None if there is none."""
    parts = Path(os.path.normpath(path)).parts  # a folder that is missing has no links
    if 'configs' not in parts:
        return None
    below = parts[len(parts) - parts[::-1].index('configs') :]
    found = zoo_folder().joinpath(*below)
    return found if found.is_file() else None
