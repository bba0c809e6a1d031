"""The states of annotation files of one image each, which tell whether what was read of them still holds."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglight.data.column_files import SETTLED, Array
from seglight.errors import DataError


class FileStates(NamedTuple):
    """The states of some files.

    Attributes:
        sizes: in bytes, int64 `[N]`; -1 for what is not a regular file.
        times: of their last change, in nanoseconds, int64 `[N]`.
        key: a text that changes with them.
        settled: whether a later change shows: no file changed just now.
    """

    sizes: Array
    times: Array
    key: str
    settled: bool


def file_states(paths: Iterable[str]) -> FileStates:
    """Return the states of some files."""
    sizes, times, newest = array('q'), array('q'), 0.0
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116  (twice as fast)
        except (OSError, ValueError):  # the latter for a null character
            status = None
        is_file = status is not None and stat.S_ISREG(status.st_mode)
        sizes.append(status.st_size if status is not None and is_file else -1)
        times.append(status.st_mtime_ns if status is not None and is_file else 0)
        newest = max(newest, status.st_ctime if status is not None else 0.0)
    columns = [np.frombuffer(values, np.int64) if values else np.empty(0, np.int64) for values in (sizes, times)]
    digest = hashlib.blake2b(columns[0].tobytes() + columns[1].tobytes(), digest_size=20).hexdigest()
    return FileStates(columns[0], columns[1], digest, newest + SETTLED < time.time())


def check_unchanged(path: Path, size: int, changed: int) -> None:
    """Check that a file has the state that it had at the start.

    Raises:
        DataError: if it has not.
    """
    now = file_states([str(path)])
    if (int(now.sizes[0]), int(now.times[0])) != (size, changed):
        raise DataError(f'{path} has changed since the start; start again')
