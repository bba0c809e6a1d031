"""Let glibc keep the memory of freed tensors for the next ones.

By default glibc returns every freed block of 32 MiB or more to the system, and the end of its heap too. The next
tensor of that size gets new pages, and the system fills each of them with zeros when it is first touched: in training
on a CPU, a quarter of the processor's time.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import partial

#: Set to 0 to leave glibc as it is.
SWITCH = 'SEGLIGHT_KEEP_MEMORY'

#: Blocks from this size are still returned at once: kept, but too small for the next, one would waste much memory.
RETURNED = 2**30

#: The parameters in glibc's malloc.h, and the variables that set them in a process from its start.
_TRIM_THRESHOLD = -1, 'MALLOC_TRIM_THRESHOLD_'
_MMAP_THRESHOLD = -3, 'MALLOC_MMAP_THRESHOLD_'
_MMAP_MAX = -4, 'MALLOC_MMAP_MAX_'

_NEVER = str(2**62)  #: a threshold that no heap reaches


def keep_freed_memory() -> None:
    """Make this process, and those that it starts later, reuse freed memory instead of returning it to the system.

    The process then stays as large as it was at its largest. On systems without glibc, or if `SWITCH` is 0, nothing
    changes; nor if the user has set glibc's own variables (`MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`, ...), which
    glibc has already read. The command line calls this; a program of your own can do so before it trains.
    """
    glibc = _find_glibc()
    if glibc is None or os.environ.get(SWITCH) == '0':
        return
    if os.environ.get(_TRIM_THRESHOLD[1]) != _NEVER:  # not the child of a process that called this
        if _set_by_user():
            return
        _raise_thresholds(glibc)
    # Otherwise loader processes would hold the free pages of this one, which then needs others for its next tensors.
    os.register_at_fork(before=partial(glibc.malloc_trim, 0))


def _raise_thresholds(glibc: ctypes.CDLL) -> None:
    """Return nothing to the system, except large blocks; spawned processes read this from the environment."""
    glibc.mallopt(_TRIM_THRESHOLD[0], -1)  # never
    os.environ[_TRIM_THRESHOLD[1]] = _NEVER
    if glibc.mallopt(_MMAP_THRESHOLD[0], RETURNED):
        os.environ[_MMAP_THRESHOLD[1]] = str(RETURNED)
    else:  # older releases accept at most 32 MiB
        glibc.mallopt(_MMAP_MAX[0], 0)
        os.environ[_MMAP_MAX[1]] = '0'


def _set_by_user() -> bool:
    """Return whether glibc's variables already set one of these parameters."""
    names = {name for _, name in (_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX)}
    return not names.isdisjoint(os.environ) or 'glibc.malloc.' in os.environ.get('GLIBC_TUNABLES', '')


def _find_glibc() -> ctypes.CDLL | None:
    """Return glibc if this process uses it."""
    if sys.platform != 'linux':
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:  # a Python that cannot load libraries
        return None
    return library if hasattr(library, 'mallopt') and hasattr(library, 'malloc_trim') else None  # musl has neither
