"""Checks of the values that the project's own transforms and mixes get; their types are checked as they are built."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def check_bounds(least: float, most: float | None = None, /, **arguments: Any) -> None:
    """Check that arguments, given by their names, are numbers within bounds.

    Raises:
        ValueError: names the first that is not.
    """
    for name, value in arguments.items():
        if not is_number(value) or not least <= value <= (value if most is None else most):
            raise ValueError(f'{name} must be a number {_bounds(least, most)}, got {value!r}')


def check_range(least: float, most: float | None = None, /, **arguments: Any) -> None:
    """Check that arguments, given by their names, are `[min, max]` within bounds.

    Raises:
        ValueError: names the first that is not.
    """
    for name, value in arguments.items():
        pair = is_list(value) and len(value) == 2 and all(is_number(each) for each in value)
        if not pair or not least <= value[0] <= value[1] <= (value[1] if most is None else most):
            raise ValueError(f'{name} must be [min, max], two numbers {_bounds(least, most)}, got {value!r}')


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    """Tell whether a value is a list or a tuple; a text is none."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number; True and False are none."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _bounds(least: float, most: float | None) -> str:
    return f'of at least {least:g}' if most is None else f'from {least:g} to {most:g}'
