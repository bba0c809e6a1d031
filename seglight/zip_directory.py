"""Where the directory of a zip is, if no reader can find another one, and how its records are compressed."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import BinaryIO, NamedTuple

#: What Python's reader raises for a damaged zip, apart from an OSError.
ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError, OverflowError)

#: The end of a zip: its signature, numbers of disks and records, size and place of the directory, size of the comment.
_END = struct.Struct('<4s4H2IH')

#: In large files before that: the same in 64 bits, and its place.
_END_64 = struct.Struct('<4sQ2H2I4Q')
_PLACE_64 = struct.Struct('<4sIQI')


class Directory(NamedTuple):
    """The list of what a zip holds: its first byte, its number of bytes, and its number of entries."""

    start: int
    size: int
    entries: int


def last_directory(file: BinaryIO) -> Directory | None:
    """Return the directory of a zip that nothing but its end follows; None for a comment, or what is no zip."""
    end = file.seek(0, 2) - _END.size
    if end < 0:
        return None
    file.seek(end)
    signature, _, _, _, count, size, place, comment = _END.unpack(file.read(_END.size))
    if signature != b'PK\5\6' or comment:
        return None
    before = end - _PLACE_64.size - _END_64.size
    if before >= 0:
        file.seek(before)
        large, locator = (part.unpack(file.read(part.size)) for part in (_END_64, _PLACE_64))
        if locator[0] == b'PK\6\7':
            if large[0] != b'PK\6\6' or locator[2] != before:
                return None
            end, count, size, place = before, *large[-3:]
    return Directory(place, size, count) if place == end - size else None


def check_methods(archive: zipfile.ZipFile) -> None:
    """Check that records are stored or deflated: for others, Python may lack a module, whose errors are no `ERRORS`.

    Raises:
        zipfile.BadZipFile: for any other record.
    """
    if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in archive.infolist()):
        raise zipfile.BadZipFile('its records are neither stored nor deflated')
