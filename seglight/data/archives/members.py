"""The members of an archive in columns, and the rules for them, which are those of all archives."""

from __future__ import annotations

import io
from array import array
from itertools import pairwise

import numpy as np

from seglight.data.column_files import Array
from seglight.data.texts import Texts
from seglight.errors import DataError
from seglight.names import name_fault

#: Maximum number of members of an archive.
MAX_MEMBERS = 10_000_000

#: The columns: the names, in the order of the archive; the order of the sorted names; the first byte of a member (in a
#: zip, of the header before it), its size, and its CRC-32 (-1 where there is none).
TYPES = {'name': '|u1', 'name_end': '<i8', 'order': '<i8', 'start': '<i8', 'size': '<i8', 'checksum': '<i8'}


class Members:
    """Collects the members of an archive.

    Args:
        place: the path or the address of the archive, for errors.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.names = bytearray()
        self.numbers = {name: array('q') for name in ('name_end', 'start', 'size', 'checksum')}

    def fault(self, text: str) -> DataError:
        """Return an error that the archive is refused."""
        return DataError(f'The archive {self.place} is refused: {text}')

    def damage(self, text: str) -> DataError:
        """Return an error that the archive is damaged."""
        return DataError(f'The archive {self.place} cannot be read: {text}; copy or write it again')

    def add(self, name: str, start: int, size: int, checksum: int = -1) -> None:
        """Add a member.

        Raises:
            DataError: if its name leads out of a folder or cannot be that of a file, or if there are too many members.
        """
        fault = name_fault(name)
        if fault:
            raise self.fault(f'the name of its member {name!r} {fault}')
        self.check_count(len(self.numbers['start']) + 1)
        self.names += name.encode(errors='surrogatepass')
        for column, value in zip(self.numbers.values(), (len(self.names), start, size, checksum), strict=True):
            column.append(value)

    def check_count(self, count: int) -> None:
        """Reject too many members."""
        if count > MAX_MEMBERS:
            raise self.fault(f'it has more than {MAX_MEMBERS:,} members; make several archives')

    def columns(self) -> dict[str, Array]:
        """Return the columns of `TYPES`.

        Raises:
            DataError: if two members have the same name, or share bytes.
        """
        numbers = {name: np.frombuffer(values, np.int64) for name, values in self.numbers.items()}
        data = np.frombuffer(bytes(self.names), np.uint8)
        names = list(Texts(data, numbers['name_end']))
        order = sorted(range(len(names)), key=names.__getitem__)
        for first, second in pairwise(order):
            if names[first] == names[second]:
                raise self.fault(f'two of its members are named {names[first]!r}')
        places = np.argsort(numbers['start'], kind='stable')
        ends = numbers['start'][places] + numbers['size'][places]
        shared = np.flatnonzero(ends[:-1] > numbers['start'][places[1:]])
        if len(shared):
            raise self.fault(f'its member {names[places[shared[0]]]!r} has bytes of another one')
        return {
            'name': data,
            'name_end': numbers['name_end'],
            'order': np.array(order, np.int64),
            **{name: numbers[name] for name in ('start', 'size', 'checksum')},
        }


def decoded(name: bytes, encoding: str = 'utf-8') -> str:
    """Return the name of a member, without `./` at its beginning; bytes that are not text are kept."""
    text = name.decode(encoding, errors='surrogateescape')
    while text.startswith('./'):
        text = text[2:].lstrip('/')
    return text


def read_at(file: io.RawIOBase, start: int, size: int) -> bytes:
    """Return bytes of a file, fewer if it ends before."""
    file.seek(start)
    data = file.read(size) or b''
    while 0 < len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
