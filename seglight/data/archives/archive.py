"""An archive and its members, which are read in place, on this machine or at an address."""

from __future__ import annotations

import io
import os
import zlib
from bisect import bisect_left
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from seglight.data.archives.member_cache import MemberCache
from seglight.data.archives.members import read_at
from seglight.data.archives.remote import Remote
from seglight.data.archives.zips import read_stored, stored_place
from seglight.data.column_files import Columns, is_settled
from seglight.data.formats import UnreadableError, check_size, open_regular
from seglight.data.texts import Texts

#: The remote archives that a config names, by their addresses as paths; no other address is ever opened.
REMOTE: dict[str, Archive] = {}


class Archive:
    """An archive with the list of its members.

    Args:
        path: the archive.
        status: its state, which the columns belong to.
        columns: those of `TYPES`.
        remote: where it is, if not on a file system; its `path` is then its address as a path.
        cache: keeps members of a remote archive.
    """

    def __init__(
        self, path: Path, status: str, columns: Columns, remote: Remote | None = None, cache: MemberCache | None = None
    ) -> None:
        self.path = path
        self.status = status
        self.columns = columns
        self.remote = remote
        self.cache = cache

    def __setstate__(self, values: dict[str, Any]) -> None:
        """Make a remote archive known in another process."""
        self.__dict__.update(values)
        if self.remote is not None:
            REMOTE[str(self.path)] = self

    @property
    def place(self) -> str:
        """Its absolute path or its address."""
        return str(self.path.absolute()) if self.remote is None else self.remote.address

    def is_settled(self) -> bool:
        """Return whether a later change shows in its status."""
        return is_settled([self.path]) if self.remote is None else bool(self.remote.version)

    @property
    def names(self) -> Texts:
        """The names of the members, in the order of the archive."""
        return Texts(self.columns['name'], self.columns['name_end'])

    def find(self, name: str) -> int | None:
        """Return the number of a member, counted in the order of the archive from 0; None if there is none."""
        order, names = self.columns['order'], self.names
        at = bisect_left(order, name, key=names.__getitem__)
        return int(order[at]) if at < len(order) and names[int(order[at])] == name else None

    def member(self, name: str, time: int) -> Member | None:
        """Return a member by its name, with the time when the archive was written; None if there is none."""
        number = self.find(name)
        if number is None:
            return None
        start, size, checksum = (int(self.columns[column][number]) for column in ('start', 'size', 'checksum'))
        return Member(self, name, start, size, checksum, time)


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        archive: the archive.
        name: its name there.
        start: its first byte; in a zip, of the header before it.
        size: in bytes.
        checksum: its CRC-32, -1 if the archive has none.
        time: when the archive was written, in nanoseconds; any other number that changes with a remote archive.
    """

    archive: Archive
    name: str
    start: int
    size: int
    checksum: int
    time: int

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            OSError: if the archive cannot be read.
            UnreadableError: if the member is empty, too large, or damaged, or cannot be fetched.
        """
        check_size(self.size)
        remote, cache = self.archive.remote, self.archive.cache
        if remote is None:
            with open_regular(self.archive.path, maximum=None) as file:
                return self._read(file)
        key = f'{remote.address} {remote.status} {self.start} {self.size} {self.checksum}'
        data = None if cache is None else cache.read(key)
        if data is None or len(data) != self.size:
            try:
                data = self._read(remote.open())
            except UnreadableError:
                remote.check()  # an archive that was written over seems damaged
                raise
            if cache is not None:
                cache.keep(key, data)
        return data

    def _read(self, file: io.RawIOBase) -> bytes:
        """Read its bytes from the archive, and check them."""
        if self.checksum < 0:
            data = read_at(file, self.start, self.size)
        else:
            data = read_stored(file, self.name, self.start, self.size)
        if len(data) < self.size or (self.checksum >= 0 and zlib.crc32(data) != self.checksum):
            raise UnreadableError('its bytes in the archive are damaged; copy or write the archive again')
        return data

    def open(self) -> BinaryIO:
        """Return it as a file; its checksum is not checked unless it is remote, which is read whole.

        Raises:
            OSError: if the archive cannot be read.
            UnreadableError: if the member is empty, too large, or damaged, or cannot be fetched.
        """
        if self.archive.remote is not None:
            return io.BytesIO(self.read())
        check_size(self.size)
        file = open_regular(self.archive.path, maximum=None)
        try:
            start = self.start if self.checksum < 0 else stored_place(file, self.name, self.start)
        except BaseException:
            file.close()
            raise
        return io.BufferedReader(_Window(file, start, self.size), 4096)


class _Window(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, file: io.FileIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._position = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise OSError(22, os.strerror(22))
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # any buffer
        count = max(0, min(len(buffer), self._size - self._position))
        data = read_at(self._file, self._start + self._position, count)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()
