"""How batches come from loader processes: in shared memory, or through pipes where that is too small."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

#: Where Linux keeps shared memory; containers have 64 MB by default.
SHARED_MEMORY = Path('/dev/shm')

#: So many batches of each loader process have to fit: those that wait, those of validation, and some for others.
WAITING = 6


class Sent:
    """A `collate_fn` whose batches go through pipes where shared memory has little space.

    torch would end with `No space left on device`, or a bus error, and the run would wait for ever.

    Args:
        collate: makes a batch, a dict that may hold tensors.
    """

    def __init__(self, collate: Callable[[Any], dict[str, Any]]) -> None:
        self.collate = collate
        self._said = False

    def __call__(self, items: Any) -> dict[str, Any]:
        """Return the batch of some items."""
        batch = self.collate(items)
        worker = get_worker_info()
        if worker is None:
            return batch
        tensors = [value for value in batch.values() if isinstance(value, Tensor)]
        size = sum(tensor.nbytes for tensor in tensors)
        if free_shared_memory() >= WAITING * worker.num_workers * size:
            return batch
        if worker.id == 0 and not self._said:
            self._said = True
            print(
                f'seglight: warning: {SHARED_MEMORY} is too small for batches of {size / 2**20:.0f} MiB from '
                f'{worker.num_workers} loader processes: they go through pipes, which is slower; in a container, '
                'give it more by --shm-size, or set data.num_workers: 0',
                file=sys.stderr,
                flush=True,
            )
        return {name: Piped(value) if isinstance(value, Tensor) else value for name, value in batch.items()}


class Piped:
    """A tensor that arrives in the main process as a tensor, and is sent as its bytes."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the bytes in the order in which they lie in memory, where that is dense."""
        strides = self.tensor.stride()
        order = sorted(range(self.tensor.ndim), key=lambda axis: -strides[axis])
        dense = self.tensor.permute(order).contiguous()
        return _arrived, (dense.numpy(), [order.index(axis) for axis in range(self.tensor.ndim)])


def _arrived(values: Any, order: list[int]) -> Tensor:
    return torch.from_numpy(values).permute(order)


def free_shared_memory() -> float:
    """Return the free bytes of shared memory, endless where the system has no folder for it."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):
        return float('inf')
    return state.f_bavail * state.f_frsize
