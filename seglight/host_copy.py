"""Copies of a device's results in the memory of the host, made while the program continues."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


class HostCopy:
    """A copy of a tensor in the memory of the host.

    From CUDA, the tensor is copied to pinned memory as soon as the device has computed it; nothing waits until `array`
    is called. A tensor on the CPU is not copied.

    Args:
        tensor: on any device.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._done: torch.cuda.Event | None = None
        if not tensor.is_cuda:
            self._tensor = tensor.detach().cpu()
            return
        self._tensor = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._tensor.copy_(tensor.detach(), non_blocking=True)
        # Blocking: a thread that waits uses no processor time.
        self._done = torch.cuda.Event(blocking=True)
        self._done.record(torch.cuda.current_stream(tensor.device))

    @property
    def nbytes(self) -> int:
        """The size of the copy in bytes."""
        return self._tensor.nbytes

    def array(self) -> npt.NDArray[Any]:
        """Return the values; wait until they are copied, but not for later work of the device."""
        if self._done is not None:
            self._done.synchronize()
        values: npt.NDArray[Any] = self._tensor.numpy()
        return values


#: The copies of tensors that still exist.
_COPIES: Any = WeakTensorKeyDictionary()


def shared_copy(tensor: Tensor) -> HostCopy:
    """Return the copy of a tensor that must not change any more; several callers get the same copy."""
    copy: HostCopy | None = _COPIES.get(tensor)
    if copy is None:
        copy = _COPIES[tensor] = HostCopy(tensor)
    return copy
