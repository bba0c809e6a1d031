"""Let glibc keep the memory of freed tensors for the next ones.

By default glibc returns every freed block of 32 MiB or more to the system, and the end of its heap too. The next
tensor of that size gets new pages, and the system fills each of them with zeros when it is first touched: in training
on a CPU, a quarter of the processor's time.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

#: Set to 0 to leave glibc as it is.
SWITCH = 'SEGLIGHT_KEEP_MEMORY'

#: Blocks from this size are still returned at once: one of them, kept but too small for the next, is dear.
RETURNED = 2**30

#: The parameters in glibc's malloc.h, and the variables that set them in a process from its start.
_TRIM_THRESHOLD = -1, 'MALLOC_TRIM_THRESHOLD_'
_MMAP_THRESHOLD = -3, 'MALLOC_MMAP_THRESHOLD_'
_MMAP_MAX = -4, 'MALLOC_MMAP_MAX_'

_NEVER = 2**62  #: a threshold that no heap reaches


def keep_freed_memory() -> None:
    """Make this process, and those that it starts later, reuse freed memory instead of returning it to the system.

    The process then stays as large as it was at its largest. On systems without glibc, or if `SWITCH` is 0, nothing
    changes; nor if the user has set glibc's own variables (`MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`, ...), which
    glibc has already read. The command line calls this; a program of your own can do so before it trains.
    """
    mallopt = _find_mallopt()
    if os.environ.get(SWITCH) == '0' or _set_by_user() or mallopt is None:
        return
    mallopt(_TRIM_THRESHOLD[0], -1)  # never
    settings = {_TRIM_THRESHOLD[1]: _NEVER}
    if mallopt(_MMAP_THRESHOLD[0], RETURNED):
        settings[_MMAP_THRESHOLD[1]] = RETURNED
    else:  # older releases accept at most 32 MiB
        mallopt(_MMAP_MAX[0], 0)
        settings[_MMAP_MAX[1]] = 0
    # Forked processes inherit the parameters, spawned ones only the environment.
    os.environ.update({name: str(value) for name, value in settings.items()})


def _set_by_user() -> bool:
    """Return whether glibc's variables already set one of these parameters."""
    names = {name for _, name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX)}
    return not names.isdisjoint(os.environ) or 'glibc.malloc.' in os.environ.get('GLIBC_TUNABLES', '')


def _find_mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function, which sets a parameter and returns 0 if it rejects the value; None without glibc."""
    if sys.platform != 'linux':
        return None
    try:
        function: Callable[[int, int], int] = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # musl, or a Python that cannot load libraries
        return None
    return function
