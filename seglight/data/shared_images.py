"""Images that are in train and in val, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seglight.data.column_files import SETTLED, Columns, cached
from seglight.data.formats import MAX_BYTES, reading
from seglight.data.header_columns import image_numbers, state_of
from seglight.data.places import open_file, size_of
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Samples

T = TypeVar('T', bound=Hashable)

KEPT_FROM = 10_000  #: images from which it is kept for the next start which of them are equal

#: Bytes at the end of a file that are compared first, since images of one size rarely agree in them.
_END = 4096


def shared_images(samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """Return a message for each image of val that is also in train, byte for byte; remote images are not read."""
    if not {'train', 'val'} <= samples.keys():
        return []
    both = [_local(Samples.of(samples[name])) for name in ('train', 'val')]
    key = _state_of_lists(both) if sum(map(len, both)) >= KEPT_FROM else ''
    name = ' '.join(part.rows.name or next(part.rows.images(), '') for each in both for part in each.parts)

    def make() -> dict[str, npt.NDArray[np.uint8]]:
        candidates = _may_be_equal(*both) if key else both
        found = shared_content(*(each.texts('images') for each in candidates))
        return {'pairs': np.frombuffer(json.dumps(found).encode(), np.uint8)}

    columns = cached(f'shared {name}', key, {'pairs': '|u1'}, _has_pairs, make)
    pairs = json.loads(columns['pairs'].tobytes())
    return [
        f'{first} is in train and in val' if first == second else f'{first} in train and {second} in val are the same'
        for first, second in pairs
    ]


def _may_be_equal(first: Samples, second: Samples) -> tuple[Samples, Samples]:
    """Return the images that have a possible twin on the other side, by their sizes and ends as their headers show.

    The headers may be those of an earlier start. So this is for large lists, whose equal images are kept as long.
    """
    firsts, seconds = image_numbers(first), image_numbers(second)
    if firsts is None or seconds is None:
        return first, second
    return first.take(np.flatnonzero(np.isin(firsts, seconds))), second.take(np.flatnonzero(np.isin(seconds, firsts)))


def _local(samples: Samples) -> Samples:
    """Return the samples that are not on another machine."""
    if not any(part.rows.remote for part in samples.parts):
        return samples
    found = [positions for part, positions, _ in samples.rows() if not part.rows.remote]
    return samples.take(np.sort(np.concatenate([np.empty(0, np.int64), *found])))


def _state_of_lists(lists: Sequence[Samples]) -> str:
    """Return a text that changes with the images of some lists; empty if one of them may still change unnoticed."""
    key, newest = hashlib.blake2b(), 0.0
    for part, _, rows in (each for samples in lists for each in samples.rows()):
        state = state_of(part.rows)
        key.update(f'{state} {len(rows)} '.encode(errors='surrogatepass') + rows.tobytes())
        for path in () if state else part.rows.images():
            try:
                status = os.stat(path)  # noqa: PTH116  (twice as fast)
            except OSError:
                return ''
            key.update(f'{path} {status.st_size} {status.st_mtime_ns} '.encode(errors='surrogatepass'))
            newest = max(newest, status.st_ctime)
    return key.hexdigest() if newest + SETTLED < time.time() else ''


def _has_pairs(columns: Columns) -> bool:
    """Return whether a file in the cache has pairs of paths."""
    try:
        pairs = json.loads(columns['pairs'].tobytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(path, str) for path in pair) for pair in pairs
    )


def shared_content(first: Collection[str], second: Collection[str]) -> list[tuple[str, str]]:
    """Return pairs of files with the same content, one from each side; for a file on both sides, the file itself.

    Of files of equal size, the last bytes are read, and where these are equal, the whole.
    """
    same = set(second).intersection(first)
    pairs = [(path, path) for path in same if _size(path) is not None]
    others = [path for path in dict.fromkeys(second) if path not in same]
    for size, sized, sized_others in _alike(first, others, _size):
        for end, ended, ended_others in _alike(sized, sized_others, _end):
            whole = [(end, ended, ended_others)] if size <= _END else _alike(ended, ended_others, _digest)
            pairs += [(min(twins), path) for _, twins, found in whole for path in found]
    return sorted(pairs, key=lambda pair: pair[::-1])


def _alike(
    first: Iterable[str], second: Iterable[str], key: Callable[[str], T | None]
) -> Iterator[tuple[T, list[str], list[str]]]:
    """Yield each key that files of both sides have, with these files; a key of None equals no other."""
    seconds = _by(key, second)
    for value, firsts in _by(key, first, seconds).items():
        yield value, firsts, seconds[value]


def _by(key: Callable[[str], T | None], paths: Iterable[str], wanted: Container[T] | None = None) -> dict[T, list[str]]:
    """Return paths by their key, only those with a wanted one if these are given."""
    groups: dict[T, list[str]] = defaultdict(list)
    for path in paths:
        found = key(path)
        if found is not None and (wanted is None or found in wanted):
            groups[found].append(path)
    return groups


def _size(path: str) -> int | None:
    """Return the size of a file that can be an image."""
    size = size_of(path)
    return size if size is not None and 0 < size <= MAX_BYTES else None


def _end(path: str) -> bytes:
    """Return the hash of the last bytes of a file."""
    with reading(path, 'The image '), open_file(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _END))
        return hashlib.blake2b(file.read(_END), digest_size=16).digest()


def _digest(path: str) -> bytes:
    """Return the hash of a file, read in chunks."""
    digest = hashlib.blake2b()
    with reading(path, 'The image '), open_file(path) as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
