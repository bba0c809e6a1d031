"""Reading the lists at the top of a large JSON file in pieces, with the place of each entry and without its numbers.

The numbers of polygons are most of such a file. Python's parser makes an object of each, which takes many times the
memory and most of the time, and nothing needs them before their image is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints, UInt8Array

#: Bytes that are read at once.
CHUNK = 4 << 20

_SPACE = b' \t\n\r'


class IrregularError(ValueError):
    """The file is not valid JSON, or not an object with lists of objects; another reader must explain it."""


@dataclass(frozen=True)
class Chunk:
    """Consecutive entries of a list.

    Attributes:
        part: the key of the list at the top of the file.
        entries: the objects; an array of numbers in one, however deeply nested, is `[0]` instead.
        starts: the first byte of each entry in the file, int64 `[N]`.
        ends: the byte after each, int64 `[N]`.
    """

    part: str
    entries: list[dict[str, Any]]
    starts: Ints
    ends: Ints


def chunks(file: BinaryIO, parts: Sequence[str]) -> Iterator[Chunk]:
    """Yield the entries of some lists at the top of a file, in its order; of an empty list, an empty chunk.

    What is left out of the entries is only checked to be digits, signs, commas and brackets that match.

    Args:
        file: at its start, in UTF-8.
        parts: the keys of the lists; all other values are skipped.

    Raises:
        IrregularError: if it is not an object, a key repeats, or one of `parts` is not a list of objects.
        RecursionError: if it is nested too deeply.
    """
    reader = _Reader(file)
    reader.expect(b'{')
    seen: set[str] = set()
    while True:
        key = reader.value()
        reader.expect(b':')
        if not isinstance(key, str) or key in seen:
            raise IrregularError(f'the key {key!r:.40} repeats or is not a string')
        seen.add(key)
        if key in parts:
            yield from reader.entries(key)
        else:
            reader.value()
        if reader.expect(b',}') == b'}':
            break
    if reader.peek():
        raise IrregularError('data after the end')


class _Reader:
    """A part of a file in memory, and a position in it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.data = b''
        self.start = 0  # of `data` in the file
        self.at = 0  # the position in `data`

    def more(self) -> bool:
        """Drop what lies behind the position and read more, as much as is left at least; False at the end."""
        left = self.data[self.at :]
        read = self.file.read(max(CHUNK, len(left)))
        self.data, self.start, self.at = left + read, self.start + self.at, 0
        return bool(read)

    def peek(self) -> bytes:
        """Return the next byte that is not space, empty at the end of the file."""
        while True:
            rest = self.data[self.at : self.at + 64]
            found = len(rest) - len(rest.lstrip(_SPACE))
            self.at += found
            if found < len(rest):
                return self.data[self.at : self.at + 1]
            if self.at >= len(self.data) and not self.more():
                return b''

    def expect(self, allowed: bytes) -> bytes:
        """Return the next byte and step over it.

        Raises:
            IrregularError: if it is none of the allowed ones.
        """
        found = self.peek()
        if not found or found not in allowed:
            raise IrregularError(f'{found!r} at byte {self.start + self.at}')
        self.at += 1
        return found

    def value(self) -> Any:
        """Return the next value and step over it.

        Raises:
            IrregularError: if it is not valid.
        """
        self.peek()
        while True:
            try:
                text = self.data[self.at :].decode('utf-8', errors='surrogateescape')
                value, end = json.JSONDecoder().raw_decode(text)
            except json.JSONDecodeError as error:
                if self.more():
                    continue
                raise IrregularError(str(error)) from error
            if not text[end:].startswith((',', ':', '}', ' ')) and self.more():  # a number may go on
                continue
            self.at += len(text[:end].encode('utf-8', errors='surrogateescape'))
            return value

    def entries(self, part: str) -> Iterator[Chunk]:
        """Yield the entries of a list and step over it."""
        self.expect(b'[')
        if self.peek() == b']':
            self.at += 1
            yield Chunk(part, [], np.empty(0, np.int64), np.empty(0, np.int64))
            return
        while True:
            if self.peek() != b'{':
                raise IrregularError(f'{part} has an entry that is not an object')
            found = _objects(self.data[self.at :])
            if not len(found.ends):
                if not self.more():
                    raise IrregularError(f'{part} does not end')
                continue
            yield Chunk(part, found.entries(), found.starts + self.start + self.at, found.ends + self.start + self.at)
            self.at += int(found.ends[-1])
            if self.expect(b',]') == b']':
                return


def _table(groups: Mapping[str, int], other: int = 0) -> bytes:
    """Return a table for `bytes.translate` with a number for the characters of each text, and one for all others."""
    return bytes(next((number for text, number in groups.items() if chr(byte) in text), other) for byte in range(256))


def _numbers(data: bytes, table: bytes) -> UInt8Array:
    """Return the number of each byte in a table; several times as fast as numpy's indexing."""
    return np.frombuffer(data.translate(table), np.uint8)


_QUOTE, _ESCAPE, _OPEN, _CLOSE = 1, 2, 3, 4
_STRUCTURE = _table({'"': _QUOTE, '\\': _ESCAPE, '{[': _OPEN, '}]': _CLOSE})

#: In an array: digits, bytes that may be beside them, and all others.
_NUMBER, _OTHER = 1, 2
_IN_ARRAYS = _table({'+-.eE,[] \t\r\n': 0, '0123456789': _NUMBER}, _OTHER)


@dataclass(frozen=True)
class _Objects:
    """The whole objects at the start of a text, and the arrays of numbers in them.

    Attributes:
        text: uint8, from the first object on.
        starts: the first byte of each object.
        ends: the byte after each.
        opened: the opening bracket of each array.
        closed: the closing bracket of each.
    """

    text: UInt8Array
    starts: Ints
    ends: Ints
    opened: Ints
    closed: Ints

    def entries(self) -> list[dict[str, Any]]:
        """Parse the objects, with `[0]` for each array.

        Raises:
            IrregularError: if they are not valid.
        """
        text = self.text[: self.ends[-1]].copy()
        text[self.opened + 1] = ord('0')
        # Kept: up to that digit, and from the closing bracket on.
        borders = np.stack([self.opened + 2, self.closed], axis=1).ravel()
        lengths = np.diff(np.concatenate([[0], borders, [len(text)]]))
        kept = np.repeat(np.arange(len(lengths)) % 2 == 0, lengths)
        try:
            entries = json.loads(b'[' + text[kept].tobytes() + b']')
        except ValueError as error:  # also for bytes that are not UTF-8
            raise IrregularError(str(error)) from error
        if len(entries) != len(self.starts):
            raise IrregularError('an entry that is not an object')
        return list(entries)


def _objects(data: bytes) -> _Objects:
    """Find the whole objects at the start of a text that begins with one, as far as the list goes that they are in."""
    text = np.frombuffer(data, np.uint8)
    places, up = _brackets(data)
    depth = np.cumsum(np.where(up, 1, -1))
    end = np.flatnonzero(depth < 0)  # the bracket of the list
    if len(end):
        places, up, depth = places[: end[0]], up[: end[0]], depth[: end[0]]
    ends = places[~up & (depth == 0)] + 1
    starts = places[up & (depth == 1)][: len(ends)]
    closed = places[~up & (depth == 1)]
    closed = closed[closed < (ends[-1] if len(ends) else 0)]
    opened = places[up & (depth == 2)][: len(closed)]
    arrays = (text[opened] == ord('[')) & (text[closed] == ord(']'))
    opened, closed = opened[arrays], closed[arrays]
    if len(opened):
        pairs = np.stack([opened, closed], axis=1).ravel()
        numbers = np.maximum.reduceat(_numbers(data, _IN_ARRAYS), pairs)[::2] == _NUMBER
        opened, closed = opened[numbers], closed[numbers]
    return _Objects(text, starts, ends, opened, closed)


def _brackets(data: bytes) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return the places of the brackets and braces outside of strings, and whether each opens."""
    kinds = _numbers(data, _STRUCTURE)
    places = np.flatnonzero(kinds.view(np.bool_))  # which counts booleans faster
    kinds = kinds[places]
    quotes = places[kinds == _QUOTE]
    escapes = places[kinds == _ESCAPE]
    if len(escapes):
        quotes = np.setdiff1d(quotes, _escaped(escapes), assume_unique=True)
    brackets = kinds >= _OPEN
    places, kinds = places[brackets], kinds[brackets]
    outside = np.searchsorted(quotes, places) % 2 == 0
    return places[outside], kinds[outside] == _OPEN


def _escaped(escapes: Ints) -> Ints:
    """Return the places that backslashes escape: behind the first, third, ... of each row of them."""
    order = np.arange(len(escapes))
    first = np.maximum.accumulate(np.where(np.diff(escapes, prepend=-2) != 1, order, 0))
    escaped: Ints = escapes[(order - first) % 2 == 0] + 1
    return escaped
