"""Check plain values in the settings of a checkpoint: numbers, text, lists and dicts."""

from __future__ import annotations

import math
from typing import Any

from seglight.config.settings import Key
from seglight.errors import printable

#: Limit on levels of lists and dicts.
MOST_LEVELS = 20

#: Limit on numbers in a model dict.
MOST_NUMBER = 100_000

#: Limits on numbers in `data` that cost processes, memory or disk.
MOST_OF_DATA = {'batch_size': 8192, 'num_workers': 128, 'cache': 1000}


class Refused(Exception):
    """A setting that a checkpoint may not have.

    Attributes:
        key: its key.
    """

    def __init__(self, message: str, key: Key) -> None:
        super().__init__(message)
        self.key = key


def check_value(value: Any, key: Key) -> None:
    """Refuse anything but numbers, text, lists and dicts, and any class or URL."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == 'class_path' or not isinstance(name, (str, int)) or isinstance(name, bool):
                raise Refused(f"a checkpoint may not have the key '{shown(name)}' here", key)
            check_value(inner, (*key, str(name)))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            check_value(inner, (*key, str(index)))
    elif isinstance(value, str):
        check_text(value, key)
    elif isinstance(value, (int, float)):
        check_number(value, key, MOST_OF_DATA.get(key[-1], 2**63))
    elif value is not None:
        raise Refused(f'must be a number, text, list or dict, got {type(value).__name__}', key)


def listed(value: Any, key: Key) -> list[Any] | tuple[Any, ...]:
    """Return a list, an empty one for null; refuse anything else."""
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise Refused(f'must be a list, got {type(value).__name__}', key)
    return value


def check_text(text: str, key: Key, max_length: int = 4096) -> None:
    """Refuse a text that is long, contains control characters, or is a URL."""
    if len(text) > max_length or not text.isprintable():
        raise Refused(f'must be one line of at most {max_length} characters', key)
    if '://' in text or text.startswith(('//', '\\\\')):  # the latter names a host on Windows
        raise Refused(f"a checkpoint may not name an address, got '{shown(text)}'", key)


def check_number(value: float, key: Key, maximum: float) -> None:
    """Refuse a number above the limit, NaN, and infinity unless the limit is high."""
    if isinstance(value, bool) or abs(value) <= maximum:
        return
    if isinstance(value, float) and math.isinf(value) and maximum > MOST_NUMBER:
        return
    raise Refused(f'must be a number up to {maximum:,}, got {shown(value)}', key)


def shown(value: Any) -> str:
    """Return a value for an error message."""
    try:
        text = str(value)
    except ValueError:  # a number with thousands of digits
        text = 'a large number'
    return printable(text[:80])
