"""Strings in one array of bytes, which loader processes share and which can be mapped from a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np

from seglight.array_types import Ints, UInt8Array


class Texts(Sequence[str]):
    """Strings in one array of bytes.

    Args:
        data: the bytes of all strings, uint8.
        ends: where each ends, int64 `[N]`.
    """

    def __init__(self, data: UInt8Array, ends: Ints) -> None:
        self.data = data
        self.ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Return the column of some strings; lone surrogates in them are kept."""
        encoded = [text.encode(errors='surrogatepass') for text in texts]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), dtype=np.int64)
        return cls(np.frombuffer(b''.join(encoded), np.uint8), ends)

    def is_sound(self) -> bool:
        """Return whether the ends increase up to the number of bytes, as a file may have them otherwise."""
        ends = self.ends
        return bool((np.diff(ends, prepend=0) >= 0).all()) and len(self.data) == (int(ends[-1]) if len(ends) else 0)

    def __len__(self) -> int:
        """Return the number of strings."""
        return len(self.ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return a string, or a list of them."""
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        index = range(len(self.ends))[index]
        start = int(self.ends[index - 1]) if index else 0
        return self.data[start : int(self.ends[index])].tobytes().decode(errors='surrogatepass')

    def __iter__(self) -> Iterator[str]:
        """Yield the strings, thousands at a time, which is many times as fast."""
        start = 0
        for first in range(0, len(self), 4096):
            ends = self.ends[first : first + 4096].tolist()
            block = self.data[start : ends[-1]].tobytes()
            at = 0
            for end in ends:
                yield block[at : end - start].decode(errors='surrogatepass')
                at = end - start
            start = ends[-1]
