"""Reading the bytes of an image or a mask, which is a file or a member of an archive (`train.zip/img_dir/a.jpg`)."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO, NamedTuple

from seglight.data.archives.index import find_member
from seglight.data.formats import StrPath, open_regular, open_with_stat
from seglight.errors import DataError


class Status(NamedTuple):
    """The size of a file in bytes, and when it was changed, in nanoseconds; of a member, its archive."""

    size: int
    time: int


def open_file(path: StrPath) -> BinaryIO:
    """Open an image or a mask of at most `MAX_BYTES`; never open a pipe, a device or a socket.

    Raises:
        OSError: if the file cannot be opened.
        UnreadableError: if it is empty, too large or not a regular file.
        DataError: if it is in an archive that cannot be read.
    """
    return open_with_status(path)[0]


def open_with_status(path: StrPath) -> tuple[BinaryIO, Status]:
    """Open an image or a mask by the rules of `open_file`; return its status, too."""
    member = find_member(path)
    if member is not None:
        return member.open(), Status(member.size, member.time)
    file, status = open_with_stat(path)
    return io.BufferedReader(file), Status(status.st_size, status.st_mtime_ns)


def read_bytes(path: Path) -> bytes:
    """Return the content of an image or a mask of at most `MAX_BYTES`; that of a member of a zip fits its checksum.

    Raises:
        OSError: if it cannot be read.
        UnreadableError: if it is empty, too large, damaged or not a regular file.
        DataError: if it is in an archive that cannot be read.
    """
    member = find_member(path)
    if member is not None:
        return member.read()
    with io.BufferedReader(open_regular(path)) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # the size that was checked


def status_of(path: Path) -> Status:
    """Return the status of a file or of a member of an archive.

    Raises:
        OSError: if there is none.
        DataError: if it is in an archive that cannot be read.
    """
    member = find_member(path)
    if member is not None:
        return Status(member.size, member.time)
    status = os.stat(path)  # noqa: PTH116  (twice as fast)
    return Status(status.st_size, status.st_mtime_ns)


def size_of(path: StrPath) -> int | None:
    """Return the size of a regular file or of a member of an archive in bytes; None if there is none."""
    try:
        member = find_member(path)
        if member is not None:
            return member.size
        status = os.stat(path)  # noqa: PTH116  (twice as fast)
    except (OSError, DataError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def is_member(path: Path) -> bool:
    """Return whether a path means a member of an archive.

    Raises:
        DataError: if it is in an archive that cannot be read.
    """
    try:
        return find_member(path) is not None
    except FileNotFoundError:
        return False
