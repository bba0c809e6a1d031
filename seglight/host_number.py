"""A number on its way from the device to the host."""

from __future__ import annotations

import torch
from torch import Tensor


class HostNumber:
    """Copies a number to the host while the device and the host go on; on a CPU, it is there at once.

    `float(tensor)` instead makes the host wait until the device has done everything that was queued before, and the
    device then waits for the host.
    """

    def __init__(self) -> None:
        self._host: Tensor | None = None
        self._arrived: torch.cuda.Event | None = None
        self._is_known = False

    def __reduce__(self) -> tuple[type[HostNumber], tuple[()]]:
        """Let a copy of what holds a number, or its pickle, start without one."""
        return HostNumber, ()

    def send(self, number: Tensor) -> None:
        """Start to copy a tensor with one value, in place of the number sent before."""
        if self._host is None:
            self._host = torch.zeros((), dtype=torch.float32, pin_memory=number.is_cuda)
            self._value = self._host.numpy()  # shares the memory
        self._host.copy_(number.detach(), non_blocking=number.is_cuda)
        if number.is_cuda:
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    @property
    def latest(self) -> float | None:
        """The last number that has arrived; None before the first one."""
        self._is_known |= self._host is not None and (self._arrived is None or self._arrived.query())
        return float(self._value) if self._is_known else None

    def get(self) -> float:
        """Return the number sent last; waits until it has arrived, but not for what the device does after it."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return float(self._value)
