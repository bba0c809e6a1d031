"""Replacements for numpy's types when reading an untrusted pickle.

numpy's own `__setstate__` accepts false sizes and fields, even for the dtype of an existing array: reading such an
array then reads foreign memory. These classes accept only numbers and strings whose size matches their type code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

#: Numbers and strings, as numpy names their types in a pickle: `f8`, `b1`, `U12`.
_CODE = re.compile(r'[biufSU]\d{1,6}')


class Type:
    """Replaces `numpy.dtype`; not a subclass, so that changing it later cannot affect an array."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError('an array must contain numbers or strings')
        self.code = code
        self.order = '='

    def __setstate__(self, state: Any) -> None:
        """Set the byte order; the size is that of the type code."""
        _, order, *parts = state
        if order not in ('<', '>', '=', '|') or any(part is not None for part in parts[:3]):
            raise ValueError('an array must contain numbers or strings')
        self.order = '=' if order == '|' else order

    def dtype(self) -> np.dtype[Any]:
        """Return the dtype, a new one every time."""
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


class Array(np.ndarray[Any, Any]):
    """Replaces `numpy.ndarray`: empty, until it gets a shape and bytes that match."""

    def __new__(cls, *_: Any) -> Array:
        """Return an empty array, whatever the arguments."""
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: Any) -> None:
        """Set shape, type and bytes.

        Raises:
            ValueError: if they do not match.
        """
        _, shape, kind, by_columns, data = state
        if type(kind) is not Type or type(data) is not bytes:
            raise ValueError('an array must contain numbers or strings')
        dtype = kind.dtype()
        if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError('the size of an array does not match its bytes')
        super().__setstate__((1, shape, dtype, bool(by_columns), data))  # type: ignore[arg-type]

    def __reduce__(self) -> Any:
        """Pickle as a numpy array."""
        return self.view(np.ndarray).__reduce__()


def scalar(kind: Any, data: Any) -> np.generic:
    """Return the number or string that the bytes encode.

    Raises:
        ValueError: if their number does not match its size.
    """
    if type(kind) is not Type or type(data) is not bytes or len(data) != kind.dtype().itemsize:
        raise ValueError('the size of a number does not match its bytes')
    dtype = kind.dtype()
    return np.frombuffer(data, dtype)[0] if data else dtype.type()  # type: ignore[no-any-return]


def safe_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return the replacements by pickled name, for `torch.serialization.safe_globals`; for numpy 1 and 2."""
    pairs: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [(Type, 'numpy.dtype'), (Array, 'numpy.ndarray')]
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        pairs += [(Array, f'{module}._reconstruct'), (scalar, f'{module}.scalar')]
    return pairs
