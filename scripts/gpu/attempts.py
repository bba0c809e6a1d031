"""Errors of one row must not keep a section from its other rows."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator

from gpu.results import RIGHT, Row
from seglight.errors import one_line


def attempt(name: Row, rows: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """Yield rows; after an error, yield one that names it.

    Args:
        name: the cells that tell what was attempted.
        rows: yields the rows.
    """
    try:
        yield from rows()
    except Exception as error:
        yield {**name, 'failure': failure(error), RIGHT: False}


def failure(error: Exception) -> str:
    """Return an error in one line, after printing all of it.

    Raises:
        Exception: the error itself, if nothing works on the device after it.
    """
    if 'CUDA error' in str(error):
        raise error
    traceback.print_exception(error)
    return f'{type(error).__name__}: {one_line(error)}'[:200]
