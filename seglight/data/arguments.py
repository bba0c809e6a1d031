"""Range checks for the arguments of the project's own transforms and mixes; `construct` checks their types."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from seglight.errors import ConfigError


def check_setting(key: str, value: float | None, minimum: float, maximum: float = math.inf) -> None:
    """Check that a value of the config is None, or finite and within bounds.

    Raises:
        ConfigError: if it is not.
    """
    if value is not None and not (minimum <= value <= maximum and value < math.inf):  # rejects NaN, too
        bounds = f'at least {minimum}' if maximum == math.inf else f'{minimum} to {maximum}'
        raise ConfigError(key, f'must be {bounds}, got {value}')


def check_most(key: str, value: float | None, maximum: float) -> None:
    """Check that a value of the config is None or at most a maximum.

    Raises:
        ConfigError: if it is larger.
    """
    if value is not None and value > maximum:
        raise ConfigError(key, f'must be at most {maximum}, got {value}')


def check_bounds(minimum: float, maximum: float | None = None, /, **arguments: Any) -> None:
    """Check that arguments, passed by name, are numbers within bounds.

    Raises:
        ValueError: names the first argument that is not.
    """
    for name, value in arguments.items():
        if not is_number(value) or not minimum <= value <= (value if maximum is None else maximum):
            raise ValueError(f'{name} must be a number {_bounds(minimum, maximum)}, got {value!r}')


def check_range(minimum: float, maximum: float | None = None, /, **arguments: Any) -> None:
    """Check that arguments, passed by name, are `[min, max]` within bounds.

    Raises:
        ValueError: names the first argument that is not.
    """
    for name, value in arguments.items():
        is_pair = is_list(value) and len(value) == 2 and all(is_number(each) for each in value)
        if not is_pair or not minimum <= value[0] <= value[1] <= (value[1] if maximum is None else maximum):
            raise ValueError(f'{name} must be [min, max], two numbers {_bounds(minimum, maximum)}, got {value!r}')


def is_whole(value: Any) -> bool:
    """Return whether a value is an integer; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_list(value: Any) -> bool:
    """Return whether a value is a list or a tuple; a string is not."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; booleans are not."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _bounds(minimum: float, maximum: float | None) -> str:
    return f'of at least {minimum:g}' if maximum is None else f'from {minimum:g} to {maximum:g}'
