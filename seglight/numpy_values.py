"""What stands for numpy's types in a pickle that anybody may have written.

numpy's own `__setstate__` takes sizes and fields that are untrue, also for the type of an array that is there: whoever
reads that array then reads memory that is not its own. These take numbers and texts of the size that their name says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

#: Numbers and texts, as numpy names their types in a pickle: `f8`, `b1`, `U12`.
_CODE = re.compile(r'[biufSU]\d{1,6}')


class Type:
    """Stands for a `numpy.dtype`; it is not one, so that no array depends on what is made of it later."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError('an array of other than numbers and texts')
        self.code = code
        self.order = '='

    def __setstate__(self, state: Any) -> None:
        """Take the order of the bytes; the size is that of the code."""
        _, order, *parts = state
        if order not in ('<', '>', '=', '|') or any(part is not None for part in parts[:3]):
            raise ValueError('an array of other than numbers and texts')
        self.order = '=' if order == '|' else order

    def made(self) -> np.dtype[Any]:
        """Return the type itself, a new one every time."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


class Array(np.ndarray[Any, Any]):
    """Stands for a `numpy.ndarray`: empty, until it gets bytes and a shape that agree."""

    def __new__(cls, *_: Any) -> Array:
        """Return an empty array, whatever it is to become."""
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: Any) -> None:
        """Take shape, type and bytes.

        Raises:
            ValueError: if they do not agree.
        """
        _, shape, kind, by_columns, data = state
        if type(kind) is not Type or type(data) is not bytes:
            raise ValueError('an array of other than numbers and texts')
        made = kind.made()
        if any(size < 0 for size in shape) or math.prod(shape) * made.itemsize != len(data):
            raise ValueError('an array of another size than its bytes')
        super().__setstate__((1, shape, made, bool(by_columns), data))  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        """Return what numpy's own array is pickled as."""
        return self.view(np.ndarray).__reduce__()


def scalar(kind: Any, data: Any) -> np.generic:
    """Return the number or the text in some bytes.

    Raises:
        ValueError: if these are not as many as it has.
    """
    if type(kind) is not Type or type(data) is not bytes or len(data) != kind.made().itemsize:
        raise ValueError('a number of another size than its bytes')
    made = kind.made()
    return np.frombuffer(data, made)[0] if data else made.type()  # type: ignore[no-any-return]


def safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return what stands for what in a pickle, for `torch.serialization.safe_globals`; the names of numpy 1 and 2."""
    found: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(Type, 'numpy.dtype'), (Array, 'numpy.ndarray')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        found += [(Array, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    return found
