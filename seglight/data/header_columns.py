"""What the headers of files show, in columns that are kept for the next start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints
from seglight.cores import cores
from seglight.data.column_files import Array, Columns, cached_path, is_settled, keep, load, state
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Rows, Samples
from seglight.forks import in_processes

#: Files whose state is compared with that of the start before; of the others, only their folders.
COMPARED = 1000

#: Samples whose headers are read in a row; handing over a single one to a thread takes as long as reading it.
_IN_A_ROW = 256

#: Seconds in which a thread waits or does not; in less time, a pause for another process seems to be a wait.
_JUDGED = 0.5

#: Samples for which another process pays: a second of reading.
_PER_PROCESS = 20_000

#: The columns, by the rows of a source; `bytes` and `time` are those of the image and its mask together.
_TYPES = {'flags': '|u1', 'image_bytes': '<i8', 'bytes': '<i8', 'time': '<i8', 'image_end': '<u4'}
_SOUND, _SMALL, _SUSPICIOUS = 1, 2, 4


class Header(NamedTuple):
    """What the headers of a sample show.

    Attributes:
        fault: why it cannot be used.
        may_be_plain: whether its image may have a single colour.
        may_be_cut_off: whether its image or mask may be cut off.
        image_bytes: size of the image file.
        bytes: size of the image and the mask.
        time: when either was changed, added up.
        image_end: checksum of the last bytes of the image file, 32 bits.
    """

    fault: str | None = None
    may_be_plain: bool = False
    may_be_cut_off: bool = False
    image_bytes: int = -1
    bytes: int = -1
    time: int = -1
    image_end: int = 0


#: The columns that are taken from a header as they are.
_FIGURES = tuple(name for name in _TYPES if name in Header._fields)


@dataclass
class Headers:
    """What the headers of some samples show.

    Attributes:
        faults: why samples cannot be used, by position.
        may_be_plain: bool `[N]`.
        may_be_cut_off: bool `[N]`.
        image_bytes: sizes of the image files, int64 `[N]`; -1 where it is unknown.
    """

    faults: dict[int, str]
    may_be_plain: npt.NDArray[np.bool_]
    may_be_cut_off: npt.NDArray[np.bool_]
    image_bytes: Ints


def read_headers(samples: Samples, read: Callable[[Sample], Header]) -> Headers:
    """Read the headers of all files, but for those that were sound at an earlier start and have not changed since.

    Whether files have changed is told by their folders, and by some of the files themselves. A file that was written
    over in place is found when it is loaded, if it is none of these. The headers of remote files are not read.

    Args:
        samples: the samples.
        read: reads the headers of a sample.
    """
    count = len(samples)
    result = Headers({}, np.zeros(count, np.bool_), np.zeros(count, np.bool_), np.full(count, -1, np.int64))
    for part, positions, rows in samples.rows():
        store = _Store.of(part.rows) if part.masks and not part.rows.remote else None
        columns = _empty(len(part.rows)) if store is None else store.columns(read)
        missing = np.flatnonzero(columns['flags'][rows] & _SOUND == 0)
        unread = _fault_of if part.rows.remote else read
        faults = _read(samples, positions[missing], rows[missing], columns, unread)
        if store is not None and len(missing) > len(faults):
            store.keep(columns)
        flags = columns['flags'][rows]
        result.faults |= faults
        result.may_be_plain[positions] = flags & _SMALL > 0
        result.may_be_cut_off[positions] = flags & _SUSPICIOUS > 0
        result.image_bytes[positions] = columns['image_bytes'][rows]
    result.faults = dict(sorted(result.faults.items()))
    return result


def _fault_of(sample: Sample) -> Header:
    """Return what is known of a sample without reading it."""
    return Header(sample.fault)


def image_numbers(samples: Samples) -> Ints | None:
    """Return a number for each image, from its size and its end; images with different numbers are different.

    Returns:
        int64 `[N]`; None if the headers of a sample were not read, or are not kept.
    """
    numbers = np.zeros(len(samples), np.int64)
    for part, positions, rows in samples.rows():
        if not len(rows):
            continue
        store = _Store.of(part.rows)
        columns = None if store is None else store.kept()
        if columns is None or not (columns['flags'][rows] & _SOUND).all():
            return None
        numbers[positions] = columns['image_bytes'][rows] << 32 | columns['image_end'][rows]
    return numbers


def state_of(rows: Rows) -> str:
    """Return a text that changes with the files of a source, as far as it and their folders tell; empty if unknown."""
    store = _Store.of(rows)
    return '' if store is None else f'{store.name} {store.key}'


def _empty(count: int) -> dict[str, Array]:
    return {name: np.zeros(count, np.dtype(dtype)) for name, dtype in _TYPES.items()}


def _read(
    samples: Samples, positions: Ints, rows: Ints, columns: dict[str, Array], read: Callable[[Sample], Header]
) -> dict[int, str]:
    """Read the headers of samples into the columns of their source; return the faults by position."""
    processes = min(cores(), len(rows) // _PER_PROCESS) if len(rows) > _PER_PROCESS else 1
    found = in_processes(partial(_read_share, samples, read), np.array_split(positions, processes))
    for name, column in columns.items():
        column[rows] = np.concatenate([part[name] for part, _ in found])
    return {position: fault for _, faults in found for position, fault in faults.items()}


def _read_share(
    samples: Samples, read: Callable[[Sample], Header], positions: Ints
) -> tuple[dict[str, Array], dict[int, str]]:
    """Read the headers of some samples; return their columns, and the faults by position."""
    columns = _empty(len(positions))
    faults: dict[int, str] = {}

    def read_some(first: int) -> None:
        for row, position in enumerate(positions[first : first + _IN_A_ROW].tolist(), first):
            header = read(samples[position])
            if header.fault is not None:
                faults[position] = header.fault
                continue
            columns['flags'][row] = _SOUND | _SMALL * header.may_be_plain | _SUSPICIOUS * header.may_be_cut_off
            for name in _FIGURES:
                columns[name][row] = getattr(header, name)

    starts = iter(range(0, len(positions), _IN_A_ROW))
    if _waits(read_some, starts):
        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read_some, starts):
                pass
    return columns, faults


def _waits(read: Callable[[int], None], starts: Iterator[int]) -> bool:
    """Read headers until all are read, or until this thread waited for the files most of some time; return whether.

    If it does not, more threads only wait for each other: two of them take twice the processor time of one.
    """
    start, busy = time.perf_counter(), time.thread_time()
    for first in starts:
        read(first)
        passed = time.perf_counter() - start
        if passed > _JUDGED:
            if passed > 3 * (time.thread_time() - busy):  # two busy processes on one core reach 2
                return True
            start, busy = time.perf_counter(), time.thread_time()
    return False


@dataclass(frozen=True)
class _Store:
    """The columns of a source in the cache.

    Attributes:
        rows: the samples of the source.
        name: of the source.
        key: of what its headers depend on.
        folders: of its files.
    """

    rows: Rows
    name: str
    key: str
    folders: Sequence[Path]

    @classmethod
    def of(cls, rows: Rows) -> _Store | None:
        """Return where the columns of a source are kept; None if they are not."""
        name, folders = rows.name, [Path(folder) for folder in rows.folders()]
        if not name:
            return None
        try:
            states = [state(folder) for folder in folders]
        except OSError:
            return None
        return cls(rows, f'headers {name}', f'{rows.key} {len(rows)} {states}', folders)

    def columns(self, read: Callable[[Sample], Header]) -> dict[str, Array]:
        """Return the columns of the start before if no file seems to have changed, else empty ones."""
        found, count = self.kept(), len(self.rows)
        if found is None:
            return _empty(count)
        columns = {name: np.array(column) for name, column in found.items()}
        known = np.flatnonzero(columns['flags'] & _SOUND)
        for row in known[:: -(-len(known) // COMPARED) or 1].tolist():
            header = read(self.rows.sample(row))
            if any(columns[name][row] != getattr(header, name) for name in ('bytes', 'time')):
                return _empty(count)
        return columns

    def kept(self) -> Columns | None:
        """Return the columns in the cache, None without any; they stay in their file."""
        found = load(cached_path(self.name), self.key, _TYPES)
        whole = found is not None and all(len(column) == len(self.rows) for column in found.values())
        return found if whole else None

    def keep(self, columns: dict[str, Array]) -> None:
        """Keep the columns for the next start."""
        if is_settled(self.folders):
            keep(cached_path(self.name), self.key, columns)
