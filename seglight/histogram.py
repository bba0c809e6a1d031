"""Count labels on any device, without waiting for it and with the same result in any order."""

from __future__ import annotations

import torch
from torch import Tensor

#: Devices where `torch.bincount` is the fastest way.
_BINCOUNT = ('cpu', 'mps')


def histogram(values: Tensor, length: int, weights: Tensor | None = None) -> Tensor:
    """Count how often each number from 0 to `length - 1` occurs.

    On a GPU, `torch.bincount` waits for the largest number, and is rejected with weights in deterministic mode. Adding
    integers gives the same sum in any order, and `scatter_add_` is deterministic where torch demands it.

    Args:
        values: integers of any shape, all below `length`.
        length: number of bins.
        weights: int64 of the same shape, to add instead of 1.

    Returns:
        int64 `[length]`.
    """
    flat = values.flatten()
    if weights is None and flat.device.type in _BINCOUNT:
        return torch.bincount(flat, minlength=length)
    added = flat.new_ones((), dtype=torch.int64).expand_as(flat) if weights is None else weights.flatten()
    return flat.new_zeros(length, dtype=torch.int64).scatter_add_(0, flat.long(), added)
