"""The memory of this process, and what the machine has left for it."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from pathlib import Path

#: Files of Linux; elsewhere these figures are unknown.
STATUS, RESET, MACHINE = Path('/proc/self/status'), Path('/proc/self/clear_refs'), Path('/proc/meminfo')

#: Limit and use of a container's memory, for both versions of control groups.
GROUPS = (
    (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory.current')),
    (
        Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'),
        Path('/sys/fs/cgroup/memory/memory.usage_in_bytes'),
    ),
)


def peak_bytes() -> int:
    """Return the peak of this process since its start or `reset_peak`; 0 if it is unknown."""
    return _kilobytes(STATUS, 'VmHWM') or 0


def reset_peak() -> None:
    """Let the peak start anew at the present size; without effect where the system cannot."""
    with suppress(OSError):
        RESET.write_text('5')


def available_bytes() -> float:
    """Return how much this process can grow before the machine or its container is full; infinite if unknown."""
    limits = [_kilobytes(MACHINE, 'MemAvailable')]
    for limit, used in GROUPS:
        with suppress(OSError, ValueError):  # no such group, or 'max' for no limit
            limits.append(int(limit.read_text()) - int(used.read_text()))
    return min((float(each) for each in limits if each is not None), default=math.inf)


def _kilobytes(path: Path, name: str) -> int | None:
    """Return a figure from a table of the kernel in bytes."""
    with suppress(OSError):
        found = re.search(rf'^{name}:\s+(\d+) kB', path.read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else None
    return None
