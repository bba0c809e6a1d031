"""Which members an archive has and where: read once, then kept in columns for all processes and later starts."""

from __future__ import annotations

import io
import os
import re
import stat
import zlib
from bisect import bisect_left
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from seglight.data.archives.members import TYPES, Members, read_at
from seglight.data.archives.tars import list_tar
from seglight.data.archives.zips import list_zip, read_stored, stored_place
from seglight.data.column_files import Array, Columns, cached, is_settled, state
from seglight.data.formats import UnreadableError, check_size, open_regular
from seglight.data.texts import Texts
from seglight.errors import DataError

#: Suffixes of archives.
ARCHIVE_SUFFIXES = ('.zip', '.tar')

#: Archives that a process knows at once; each takes a few kilobytes and maps one file.
_MOST_KNOWN = 4096

_INSIDE = re.compile(r'\.(?:zip|tar)[/\\]', re.IGNORECASE)


def is_archive(path: Path) -> bool:
    """Return whether a path has the suffix of an archive."""
    return path.suffix.lower() in ARCHIVE_SUFFIXES


class Archive:
    """An archive with the list of its members.

    Args:
        path: the archive.
        status: its state, which the columns belong to.
        columns: those of `TYPES`.
    """

    def __init__(self, path: Path, status: str, columns: Columns) -> None:
        self.path = path
        self.status = status
        self.columns = columns

    @property
    def names(self) -> Texts:
        """The names of the members, in the order of the archive."""
        return Texts(self.columns['name'], self.columns['name_end'])

    def find(self, name: str) -> int | None:
        """Return the number of a member, counted in the order of the archive from 0; None if there is none."""
        order, names = self.columns['order'], self.names
        at = bisect_left(order, name, key=names.__getitem__)
        return int(order[at]) if at < len(order) and names[int(order[at])] == name else None


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        archive: the archive.
        name: its name there.
        start: its first byte; in a zip, of the header before it.
        size: in bytes.
        checksum: its CRC-32, -1 if the archive has none.
        time: when the archive was written, in nanoseconds.
    """

    archive: Path
    name: str
    start: int
    size: int
    checksum: int
    time: int

    def read(self) -> bytes:
        """Return its bytes.

        Raises:
            OSError: if the archive cannot be read.
            UnreadableError: if the member is empty, too large, or damaged.
        """
        check_size(self.size)
        with open_regular(self.archive, maximum=None) as file:
            if self.checksum < 0:
                data = read_at(file, self.start, self.size)
            else:
                data = read_stored(file, self.name, self.start, self.size)
        if len(data) < self.size or (self.checksum >= 0 and zlib.crc32(data) != self.checksum):
            raise UnreadableError('its bytes in the archive are damaged; copy or write the archive again')
        return data

    def open(self) -> BinaryIO:
        """Return it as a file; its checksum is not checked.

        Raises:
            OSError: if the archive cannot be read.
            UnreadableError: if the member is empty, too large, or damaged.
        """
        check_size(self.size)
        file = open_regular(self.archive, maximum=None)
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


_known: dict[Path, Archive] = {}


def open_archive(path: Path) -> Archive:
    """Return an archive; its list is read again when the file has changed.

    Raises:
        DataError: if it cannot be read, is damaged, or is refused for one of its members.
    """
    try:
        status = state(path)
        known = _known.get(path)
        if known is not None and known.status == status:
            return known
        key = f'{path.absolute()} {status}' if is_settled([path]) else ''
        size = path.stat().st_size
        columns = cached(
            f'archive {path.absolute()}', key, TYPES, lambda found: _is_sound(found, size), lambda: _listed(path)
        )
    except FileNotFoundError as error:
        raise DataError(f'The archive {path} does not exist; correct the path') from error
    except OSError as error:
        raise DataError(f'The archive {path} cannot be read: {error.strerror}') from error
    except UnreadableError as error:
        raise DataError(f'The archive {path} cannot be read: {error}') from error
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[path] = Archive(path, status, columns)
    return _known[path]


def _listed(path: Path) -> dict[str, Array]:
    """Read the list of an archive."""
    members = Members(path)
    with open_regular(path, maximum=None) as file:
        (list_zip if path.suffix.lower() == '.zip' else list_tar)(file, members)
    return members.columns()


def _is_sound(columns: Columns, size: int) -> bool:
    """Return whether the columns of a file in the cache fit each other and an archive of this size."""
    count = len(columns['name_end'])
    if any(len(columns[name]) != count for name in ('order', 'start', 'size', 'checksum')):
        return False
    if not Texts(columns['name'], columns['name_end']).is_sound():
        return False
    order, starts, sizes = columns['order'], columns['start'], columns['size']
    if count and not (starts.min() >= 0 and sizes.min() >= 0 and (starts + sizes).max() <= size):
        return False
    return np.array_equal(np.sort(order), np.arange(count))


def find_member(path: Path) -> Member | None:
    """Return the member of an archive that a path means, such as `train.zip/img_dir/a.jpg`; None for any other path.

    Raises:
        DataError: if the archive cannot be read.
        FileNotFoundError: if it has no such member.
    """
    text = os.fspath(path)
    for found in _INSIDE.finditer(text):
        file = text[: found.end() - 1]
        try:
            status = os.stat(file)  # noqa: PTH116  (twice as fast)
        except OSError:
            return None
        if stat.S_ISDIR(status.st_mode):
            continue
        archive = open_archive(Path(file))
        name = text[found.end() :].replace(os.sep, '/')
        number = archive.find(name)
        if number is None:
            raise FileNotFoundError(2, os.strerror(2), text)
        start, size, checksum = (int(archive.columns[column][number]) for column in ('start', 'size', 'checksum'))
        return Member(archive.path, name, start, size, checksum, status.st_mtime_ns)
    return None
