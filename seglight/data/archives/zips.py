"""The directory of a zip, and its members, which must be stored as they are.

Not by Python's `zipfile`, which makes an object for each entry before anything can be counted.
"""

from __future__ import annotations

import io
import stat
import struct
from typing import BinaryIO

from seglight.data.archives.members import Members, decoded, read_at
from seglight.data.formats import UnreadableError
from seglight.zip_directory import last_directory

#: An entry of the directory: signature, versions, flags, method, time, CRC, both sizes, lengths of name, further fields
#: and comment, disk, attributes, and the place of the member.
_ENTRY = struct.Struct('<4s6H3I5H2I')

#: What is before a member: signature, version, flags, method, time, CRC, both sizes, lengths of name and further ones.
_HEADER = struct.Struct('<4s5H3I2H')

_ENCRYPTED, _UTF_8 = 0x1, 0x800  #: flags
_UNIX = 3  #: system whose attributes have the mode of a file
_LARGE = 0xFFFFFFFF  #: in place of a number that is among the further fields, in 64 bits
_FURTHER = 64  #: bytes of further fields that are read along with a member

_CHANGED = 'its bytes are not those that were put into the archive; copy or write the archive again'


def list_zip(file: BinaryIO, members: Members) -> None:
    """Add the members of a zip, which is read from a buffered file.

    Raises:
        DataError: if it is damaged or not a zip, if members are compressed, encrypted or links.
    """
    directory = last_directory(file)
    if directory is None:
        raise members.damage('it is cut off, or not a zip without a comment')
    members.check_count(directory.entries)
    file.seek(directory.start)
    left = directory.size
    for _ in range(directory.entries):
        head = file.read(_ENTRY.size)
        if len(head) < _ENTRY.size or head[:4] != b'PK\1\2':
            raise members.damage('its directory is damaged')
        fields = _ENTRY.unpack(head)
        lengths = fields[10:13]
        rest = file.read(sum(lengths))
        left -= len(head) + len(rest)
        if left < 0:
            raise members.damage('its directory is damaged')
        _add(members, fields, rest, directory.start)
    if left:
        raise members.damage('its directory is damaged')


def _add(members: Members, fields: tuple[int, ...], rest: bytes, end: int) -> None:
    """Add a member from its entry; all members are before byte `end`."""
    _, version, _, flags, method, _, _, checksum, stored, size, length, further, *_, attributes, place = fields
    name = decoded(rest[:length], _encoding(flags))
    if name.endswith('/'):
        return
    if _LARGE in (stored, size, place):
        stored, size, place = _large(rest[length : length + further], stored, size, place)
    mode = attributes >> 16 if version >> 8 == _UNIX else 0
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise members.fault(f'its member {name!r} is a link or not a regular file')
    if flags & _ENCRYPTED:
        raise members.fault(f'its member {name!r} is encrypted')
    if method:
        cure = 'unpack it, or make it again without compression (zip -0)'
        raise members.fault(f'its member {name!r} is compressed; {cure}')
    if stored != size or place + _HEADER.size + length + size > end:
        raise members.damage(f'its entry for {name!r} is damaged')
    members.add(name, place, size, checksum)


def _encoding(flags: int) -> str:
    return 'utf-8' if flags & _UTF_8 else 'cp437'


def _large(further: bytes, stored: int, size: int, place: int) -> tuple[int, int, int]:
    """Return the numbers of an entry, of which those in 64 bits are in its further fields; -1 if they are not."""
    position = 0
    while position + 4 <= len(further):
        kind, length = struct.unpack_from('<2H', further, position)
        if kind == 1:
            values = iter(
                struct.unpack_from(f'<{min(length, len(further) - position - 4) // 8}Q', further, position + 4)
            )
            size, stored, place = (next(values, -1) if each == _LARGE else each for each in (size, stored, place))
            break
        position += 4 + length
    return stored, size, place


def stored_place(file: io.RawIOBase, name: str, start: int) -> int:
    """Return the first byte of a member, whose header begins at `start`.

    Raises:
        UnreadableError: if its header is not that of the member.
    """
    return _after(read_at(file, start, _HEADER.size + _longest(name)), name, start)


def read_stored(file: io.RawIOBase, name: str, start: int, size: int) -> bytes:
    """Return the bytes of a member, whose header begins at `start`, with one reading for both.

    Raises:
        UnreadableError: if its header is not that of the member.
    """
    expected = _HEADER.size + len(name.encode(errors='surrogatepass')) + _FURTHER
    block = read_at(file, start, expected + size)
    first = _after(block, name, start)
    data = block[first - start :][:size]
    return data if len(data) == size else read_at(file, first, size)


def _longest(name: str) -> int:
    return 4 * len(name) + _FURTHER


def _after(block: bytes, name: str, start: int) -> int:
    """Return the byte after a header."""
    if len(block) < _HEADER.size or block[:4] != b'PK\3\4':
        raise UnreadableError(_CHANGED)
    flags, length, further = (int(_HEADER.unpack_from(block)[at]) for at in (2, -2, -1))
    if decoded(block[_HEADER.size :][:length], _encoding(flags)) != name:
        raise UnreadableError(_CHANGED)
    return start + _HEADER.size + length + further
