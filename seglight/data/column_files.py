"""Columns in the cache of the user: arrays mapped into memory, made anew when their origin has changed."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seglight.errors import warn
from seglight.files import cache_dir, open_atomically

#: Version of all files; a change of the columns of any of them makes them anew.
VERSION = 1

#: Seconds after which a change of a file or a folder shows in its time, on any file system.
SETTLED = 2.0

_ALIGNED = 64

Array = npt.NDArray[Any]
Types = Mapping[str, str]  #: the name of each column, and its dtype


def state(path: Path) -> str:
    """Return a text that changes with the content of a file, or with the names in a folder.

    Raises:
        OSError: if it cannot be read.
    """
    status = path.stat()
    return f'{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}'


def is_settled(paths: Iterable[Path]) -> bool:
    """Return whether some files and folders have been unchanged for long enough that a later change shows."""
    try:
        newest = max((path.stat().st_ctime for path in paths), default=0.0)
    except OSError:
        return False
    return newest + SETTLED < time.time()


class Columns(Mapping[str, Array]):
    """Arrays by name. Where they come from a file, a copy for another process maps that file.

    Args:
        arrays: the arrays.
        path: their file, None if they are in memory only.
        key: what they were made from.
    """

    def __init__(self, arrays: Mapping[str, Array], path: Path | None = None, key: str = '') -> None:
        self.arrays = dict(arrays)
        self.path = path
        self.key = key

    def __getitem__(self, name: str) -> Array:
        """Return an array."""
        return self.arrays[name]

    def __iter__(self) -> Any:
        """Yield the names."""
        return iter(self.arrays)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the path of the file, if it still has these arrays."""
        types = {name: array.dtype.str for name, array in self.arrays.items()}
        if self.path is not None and load(self.path, self.key, types) is not None:
            return load, (self.path, self.key, types)
        return Columns, (self.arrays,)


def cached(
    name: str, key: str, types: Types, sound: Callable[[Columns], bool], make: Callable[[], Mapping[str, Array]]
) -> Columns:
    """Return columns from the cache, or else make and keep them.

    Args:
        name: of what they are made from; there is one file for each name.
        key: what they are made from, and in which state; empty if they must not be kept.
        types: the names and dtypes.
        sound: whether columns fit each other; a file may be damaged.
        make: makes them.
    """
    path = cached_path(name)
    found = load(path, key, types) if key else None
    if found is not None and sound(found):
        return found
    made = make()
    return (keep(path, key, made) if key else None) or Columns(made)


def cached_path(name: str) -> Path:
    """Return the path of the file with the columns of a name."""
    digest = hashlib.blake2b(os.fsencode(name.encode(errors='surrogatepass')), digest_size=20).hexdigest()
    return cache_dir() / 'lists' / f'{digest}.columns'


def keep(path: Path, key: str, arrays: Mapping[str, Array]) -> Columns | None:
    """Write a file of columns and map it into memory; warn and return None if it cannot be written."""
    try:
        with open_atomically(path) as file:
            for array in (_text(key), *arrays.values()):
                file.write(b'\0' * (-file.tell() % _ALIGNED))
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    except OSError as error:
        _warn(f'the lists of the data are not kept for the next start: cannot write {path}: {error.strerror}')
        return None
    return load(path, key, {name: array.dtype.str for name, array in arrays.items()})


def load(path: Path, key: str, types: Types) -> Columns | None:
    """Map a file of columns into memory; return None if it is missing, damaged or made from something else."""
    try:
        with path.open('rb') as file:
            if _mapped(file, '|u1').tobytes() != _text(key).tobytes():
                return None
            return Columns({name: _mapped(file, dtype) for name, dtype in types.items()}, path, key)
    except Exception:  # of any type: numpy parses a damaged header as it would Python
        return None


def _text(text: str) -> Array:
    return np.frombuffer(f'{VERSION} {text}'.encode(errors='surrogatepass'), np.uint8)


def _mapped(file: Any, dtype: str) -> Array:
    """Map the next array of a file, `[N]`, and step over it.

    Raises:
        ValueError: if it has another dtype or is cut off.
    """
    file.seek(-file.tell() % _ALIGNED, io.SEEK_CUR)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError('another version of the format')
    shape, _, found = np.lib.format.read_array_header_1_0(file)
    if found.hasobject or len(shape) != 1 or shape[0] < 0 or found != np.dtype(dtype):
        raise ValueError('another array')
    start, size = file.tell(), shape[0] * found.itemsize
    if start + size > os.fstat(file.fileno()).st_size:
        raise ValueError('cut off')
    array = np.asarray(np.memmap(file, found, 'r', start, shape)) if size else np.empty(0, found)
    file.seek(start + size)  # numpy leaves it at the end
    return array


_warn = functools.cache(warn)  # once, not for each list
