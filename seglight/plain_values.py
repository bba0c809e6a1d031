"""What a file of weights may contain: plain values and tensors, no larger than the file justifies.

`torch.load(weights_only=True)` runs no code, but its result can still be unbounded: a list that contains itself, lists
that share others forty levels deep, one number that claims to be 10^12 by its strides. Of this project, the module
imports only the errors.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seglight.errors import CheckpointError, printable

#: Limit of the values in a file, each counted as often as it is reached; a large model's checkpoint has about 10,000.
MOST_VALUES = 2_000_000

#: Limit of nested lists and dicts.
MOST_LEVELS = 100

#: How often the bytes of a file may be used by names that share a tensor.
MOST_SHARED = 8

#: Bytes that tensors may claim in addition.
_SLACK = 64 << 20

#: Limit of an integer, in bits; states of random generators have 128.
_MAX_BITS = 256

_TENSORS = (Tensor, torch.nn.Parameter)
_SCALARS = (bool, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_LISTS = (list, tuple, set, frozenset)
_DICTS = (dict, OrderedDict)


def check_values(values: Any, path: Path) -> None:
    """Reject anything but plain values and tensors, or more than the file can contain.

    Args:
        values: the contents of the file.
        path: its path, for the message.

    Raises:
        CheckpointError: for the first wrong entry.
    """
    check = _Check(path.stat().st_size)
    try:
        check.weigh(values, ())
    except _Refused as refused:
        raise CheckpointError(f'{path} is refused: {refused}') from None


class _Refused(Exception):
    """What is wrong with a value."""


class _Check:
    """Counts nested values; shared ones are visited once and counted as often as they are reached."""

    def __init__(self, size: int) -> None:
        self.max_bytes = MOST_SHARED * size + _SLACK
        self.claimed = 0
        self.weights: dict[int, int] = {}  # number of values in each container, 0 while it is being visited

    def weigh(self, value: Any, path: tuple[str, ...]) -> int:
        """Return the number of values in a value, itself included."""
        kind = type(value)
        if kind in _SCALARS or isinstance(value, np.generic):
            return 1
        if kind is int:
            if value.bit_length() > _MAX_BITS:
                raise _Refused(f'{_name(path)} is a number of {value.bit_length()} bits')
            return 1
        if kind in _TENSORS:
            self._check_tensor(value, path)
            return 1
        if isinstance(value, np.ndarray):
            self._claim(value.nbytes, path)
            return 1
        if kind not in _DICTS and kind not in _LISTS:
            raise _Refused(f'{_name(path)} is a {kind.__name__}, not a number, text, tensor, list or dict')
        return self._weigh_container(value, path)

    def _weigh_container(self, value: Any, path: tuple[str, ...]) -> int:
        known = self.weights.get(id(value))
        if known == 0:
            raise _Refused(f'{_name(path)} contains itself')
        if len(path) > MOST_LEVELS:
            raise _Refused(f'{_name(path[:5])} has more than {MOST_LEVELS} levels')
        if known is None:
            self.weights[id(value)] = 0
            known = 1 + sum(self.weigh(inner, (*path, name)) for name, inner in _members(value))
            self.weights[id(value)] = known
        if known > MOST_VALUES:
            raise _Refused(f'{_name(path)} contains more than {MOST_VALUES:,} values')
        return known

    def _check_tensor(self, value: Tensor, path: tuple[str, ...]) -> None:
        """Reject a tensor that is not dense on the CPU, or that claims more numbers than its memory holds."""
        special = value.is_quantized or value.is_nested
        if value.layout != torch.strided or value.device.type != 'cpu' or special:
            raise _Refused(f'{_name(path)} is a {value.layout} tensor on {value.device}, not a dense one on the CPU')
        claimed = value.numel() * value.element_size()
        if claimed > max(value.untyped_storage().nbytes(), 1 << 20):
            raise _Refused(f'{_name(path)} claims {value.numel():,} numbers, more than the file contains')
        self._claim(claimed, path)

    def _claim(self, size: int, path: tuple[str, ...]) -> None:
        self.claimed += size
        if self.claimed > self.max_bytes:
            raise _Refused(f'up to {_name(path)} its tensors claim {self.claimed:,} bytes, more than the file contains')


def _members(value: Any) -> Iterable[tuple[str, Any]]:
    """Yield the members of a list or a dict, including keys, with their names."""
    if not isinstance(value, Mapping):
        yield from ((str(index), inner) for index, inner in enumerate(value))
        return
    for key, inner in value.items():
        name = key if isinstance(key, str) else type(key).__name__
        if not isinstance(key, (str, float, bytes, type(None))):
            yield name, key
        yield name, inner
    for name, inner in getattr(value, '__dict__', {}).items():  # of an OrderedDict: torch's `_metadata`
        if name != '_metadata' or not _is_metadata(inner):
            raise _Refused(f'its dicts have the attribute {name}, which torch does not write')


def _is_metadata(value: Any) -> bool:
    """Return whether a value is what torch stores with the weights: the version of each module."""
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(inner, dict) and all(type(each) in (int, bool) for each in inner.values())
        for name, inner in value.items()
    )


def _name(path: tuple[str, ...]) -> str:
    """Return the printable name of an entry."""
    return printable('.'.join(path)[:100]) or 'the file'
