"""Copying the next batch to the GPU while the current one is computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader


class PrefetchingLoader(DataLoader[Any]):
    """A loader that keeps one batch more on the device, copied on a stream of its own.

    Order and content of the batches are those of `DataLoader`. Lightning moves each batch again, which has no effect.

    Attributes:
        device: where to copy the batches; None, the default, to leave them in memory.
    """

    device: torch.device | None = None

    def __iter__(self) -> Any:
        """Return an iterator over the batches."""
        batches = super().__iter__()
        return batches if self.device is None else Prefetched(batches, self.device)


class Prefetched(Iterator[Any]):
    """Batches on a device, each copied while the previous one is in use.

    Args:
        batches: in pinned memory, so that copying does not wait.
        device: where to copy them.
        streams: the module with `Stream`, `stream` and `current_stream`; `torch.cuda` by default.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device, streams: Any = None) -> None:
        self._batches = iter(batches)
        self._device = device
        self._streams = streams or torch.get_device_module(device)
        self._side = self._streams.Stream(device)
        self._next: Any = None
        self._error: BaseException | None = None  #: raised when its batch is due, which keeps the steps before it
        self._copy()

    def __next__(self) -> Any:
        """Return the next batch, and copy the one after it.

        Raises:
            StopIteration: at the end; any other error of the loader when its batch is due.
        """
        if self._error is not None:
            raise self._error
        current = self._streams.current_stream(self._device)
        current.wait_stream(self._side)
        batch = self._next
        # Otherwise the memory could be used again on the side stream while this stream still reads the batch.
        apply_to_collection(batch, Tensor, lambda tensor: tensor.record_stream(current))
        self._copy()
        return batch

    def _copy(self) -> None:
        from lightning_fabric.utilities.apply_func import move_data_to_device  # late: loader processes need no trainer

        try:
            batch = next(self._batches)
        except Exception as error:
            self._next, self._error = None, error
            return
        with self._streams.stream(self._side):
            self._next = move_data_to_device(batch, self._device)
