"""Resizing logits a few rows at a time, so that intermediate results stay in the CPU cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.array_types import Size

#: Values in a band on a CPU, about the size of a cache; on a GPU, fewer and larger steps are faster.
BAND, BAND_ON_GPU = 2**20, 2**26

#: Columns that are resized in one step.
COLUMNS = 32

#: Largest number of weights of a side that are kept: 16 MB.
KEPT = 2**22


class Coarse(NamedTuple):
    """Logits before they are resized.

    `logits`: float `[B, C, h, w]`. `sizes`: the sizes of successive bilinear resizes; the last is that of the
    result. `align_corners`: as in torch's `interpolate`.
    """

    logits: Tensor
    sizes: tuple[Size, ...]
    align_corners: bool


def resized_bands(coarse: Coarse) -> Iterator[tuple[slice, Tensor]]:
    """Yield the rows of resized logits from top to bottom.

    Bilinear resizing is separable: columns are resized first, while there are few rows, and each band of rows is
    then a small matrix product. This equals torch's `interpolate` up to float32 rounding, and takes a fraction of
    its time and memory when logits are resized twice.

    Yields:
        The rows, and their logits, float32 `[B, C, rows, W]`.
    """
    logits = coarse.logits.float()
    width = coarse.sizes[-1][1]
    down, across = (
        _side(logits.shape[2 + axis], tuple(size[axis] for size in coarse.sizes), coarse.align_corners, logits.device)
        for axis in (0, 1)
    )
    with torch.autocast(logits.device.type, enabled=False):
        wide = logits.new_empty(*logits.shape[:3], width)
        for part, (first, last) in _parts(across, COLUMNS):
            torch.matmul(logits[..., first:last], across.weights[part, first:last].T, out=wide[..., part])
        values = BAND if logits.device.type == 'cpu' else BAND_ON_GPU
        for part, (first, last) in _parts(down, max(1, values // wide[:, :, 0].numel())):
            yield part, torch.matmul(down.weights[part, first:last], wide[:, :, first:last])


class _Side(NamedTuple):
    """How one side is resized.

    `weights`: float32 `[target, length]`, on the device of the logits. `first`, `last`: for each row of the weights,
    the range of the source that it needs.
    """

    weights: Tensor
    first: list[int]
    last: list[int]


def _side(length: int, lengths: tuple[int, ...], align_corners: bool, device: torch.device) -> _Side:
    """Return how one side is resized; small weights are kept, since most images of a run have the same size."""
    make: Callable[..., _Side] = _kept_side if length * lengths[-1] <= KEPT else _new_side
    return make(length, lengths, align_corners, device)


def _new_side(length: int, lengths: tuple[int, ...], align_corners: bool, device: torch.device) -> _Side:
    """Return how one side is resized."""
    with torch.inference_mode(False), torch.autocast('cpu', enabled=False):
        weights = _weights(length, lengths, align_corners)
    used = weights != 0
    first = used.int().argmax(1)
    last = length - used.flip(1).int().argmax(1)
    return _Side(weights.to(device), first.tolist(), last.tolist())


_kept_side = lru_cache(maxsize=16)(_new_side)


def _weights(length: int, lengths: tuple[int, ...], align_corners: bool) -> Tensor:
    """Return the matrix `[lengths[-1], length]` for one side: torch's own weights, from resizing an identity."""
    weights = torch.eye(length)[None]
    for target in lengths:
        weights = F.interpolate(weights[None], (target, length), mode='bilinear', align_corners=align_corners)[0]
    return weights[0]


def _parts(side: _Side, step: int) -> Iterator[tuple[slice, tuple[int, int]]]:
    """Yield slices of the target's rows or columns, and the range of the source that each needs."""
    for start in range(0, len(side.first), step):
        part = slice(start, min(start + step, len(side.first)))
        yield part, (min(side.first[part]), max(side.last[part]))
