"""Sending batches from loader processes: in shared memory, or through pipes if that is too small."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from seglight.errors import warn

#: Linux's shared memory; containers have 64 MB by default.
SHARED_MEMORY = Path('/dev/shm')

#: Number of batches of each loader process that must fit: waiting ones, those of validation, and a reserve.
WAITING = 6


class Sent:
    """A `collate_fn` that sends batches through pipes if shared memory is too small.

    torch would fail with `No space left on device` or a bus error, and the run would hang.

    Args:
        collate: makes a batch, a dict that may hold tensors.
    """

    def __init__(self, collate: Callable[[Any], dict[str, Any]]) -> None:
        self.collate = collate
        self._warned = False

    def __call__(self, items: Any) -> dict[str, Any]:
        """Return the batch of the items."""
        batch = self.collate(items)
        worker = get_worker_info()
        if worker is None:
            return batch
        tensors = [value for value in batch.values() if isinstance(value, Tensor)]
        size = sum(tensor.nbytes for tensor in tensors)
        if free_shared_memory() >= WAITING * worker.num_workers * size:
            return batch
        if worker.id == 0 and not self._warned:
            self._warned = True
            warn(
                f'{SHARED_MEMORY} is too small for batches of {size / 2**20:.0f} MiB from '
                f'{worker.num_workers} loader processes: using pipes, which is slower; in a container, '
                'increase it with --shm-size, or set data.num_workers: 0'
            )
        return {name: Piped(value) if isinstance(value, Tensor) else value for name, value in batch.items()}


class Piped:
    """A tensor that is pickled as bytes and unpickled as a tensor."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes in memory order if they are dense."""
        strides = self.tensor.stride()
        order = sorted(range(self.tensor.ndim), key=lambda axis: -strides[axis])
        dense = self.tensor.permute(order).contiguous()
        return _unpickled, (dense.numpy(), [order.index(axis) for axis in range(self.tensor.ndim)])


def _unpickled(values: Any, order: list[int]) -> Tensor:
    return torch.from_numpy(values).permute(order)


#: For each tensor that was to be shared, whether it is.
_SHARED: list[bool] = []


def in_shared_memory(value: Tensor) -> Tensor:
    """Move a tensor to shared memory, so that loader processes see its changes; if it is full, there are none."""
    try:
        value.share_memory_()
    except RuntimeError:  # torch raises no other class for a full file system
        _SHARED.append(False)
    else:
        _SHARED.append(True)
    return value


def all_shared() -> bool:
    """Return whether all of `in_shared_memory` could be moved there, so that loader processes may start."""
    return all(_SHARED)


def free_shared_memory() -> float:
    """Return the free bytes of shared memory; infinite if the system has no folder for it."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):
        return float('inf')
    return state.f_bavail * state.f_frsize
