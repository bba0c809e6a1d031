"""The cores are those that this process may use."""

import io
import os
from typing import Any

import pytest

from seglight.cores import cores

#: Where Linux states the limit of a container.
QUOTA = '/sys/fs/cgroup/cpu.max'


def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(12)), raising=False)
    assert cores() == 12


def test_cores_are_limited_by_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with 2.5 of 64 cores: its quota in microseconds for each period."""
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(64)), raising=False)
    exists, read = os.path.exists, open

    def opened(file: Any, *more: Any, **named: Any) -> Any:
        return io.StringIO('250000 100000\n') if file == QUOTA else read(file, *more, **named)

    monkeypatch.setattr(os.path, 'exists', lambda file: file == QUOTA or exists(file))
    monkeypatch.setattr('builtins.open', opened)
    assert cores() == 3
