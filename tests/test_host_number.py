"""A number on its way from the device to the host."""

import copy
from typing import Any

import pytest
import torch

from seglight.host_number import HostNumber


def test_on_a_cpu_a_number_is_there_at_once() -> None:
    number = HostNumber()
    assert number.latest is None
    number.send(torch.tensor(1.5, requires_grad=True))
    assert number.latest == number.get() == 1.5
    number.send(torch.tensor(2.5, dtype=torch.float64))
    assert number.latest == number.get() == 2.5


def test_until_a_number_has_arrived_the_one_before_is_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Event:
        """An event of a device that has not come so far until the host waits for it."""

        is_past = False

        def query(self) -> bool:
            return self.is_past

        def synchronize(self) -> None:
            self.is_past = True

    number: Any = HostNumber()
    number.send(torch.tensor(1.0))
    number._arrived = Event()
    assert number.latest is None
    assert number.get() == 1.0
    assert number.latest == 1.0
    number._arrived = Event()
    assert number.latest == 1.0


def test_a_copy_has_a_number_of_its_own() -> None:
    number = HostNumber()
    number.send(torch.tensor(1.0))
    other = copy.deepcopy(number)
    assert other.latest is None
    other.send(torch.tensor(2.0))
    assert (number.get(), other.get()) == (1.0, 2.0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_a_gpu_is_not_waited_for() -> None:
    number = HostNumber()
    torch.cuda.set_sync_debug_mode('error')
    try:
        for value in range(3):
            number.send(torch.full((), float(value), device='cuda'))
        assert number.get() == 2.0
    finally:
        torch.cuda.set_sync_debug_mode('default')
