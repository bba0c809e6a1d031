"""The members of a tar: POSIX (ustar and pax) and GNU.

Not by Python's `tarfile`, which reads headers of any size into memory, and follows sizes below zero (CVE-2025-8194).
"""

from __future__ import annotations

from typing import BinaryIO

from seglight.data.archives.members import Members, decoded

BLOCK = 512
MAX_HEADER = 1 << 20  #: bytes of a long name, or of the fields of a member in pax

_FILES = (b'0', b'\0', b'7')
_FOLDER, _LONG_NAME, _FIELDS, _GLOBAL_FIELDS = b'5', b'L', b'x', b'g'
_LINKS = (b'1', b'2', b'K')
_DEVICES = (b'3', b'4', b'6')


def list_tar(file: BinaryIO, members: Members) -> None:
    """Add the members of a tar, which is read from a buffered file.

    Raises:
        DataError: if it is damaged, cut off or not a tar, or if members are links, devices or sparse.
    """
    size, position = file.seek(0, 2), 0
    given: dict[str, bytes] = {}  # what a header says of the next one
    while any(header := _block(file, position, members)):
        kind, length = header[156:157], _size(header, given)
        position += BLOCK
        if length < 0 or position + length > size:
            raise members.damage('it is cut off or damaged')
        if kind in (_LONG_NAME, _FIELDS, _GLOBAL_FIELDS):
            _note(kind, file, length, given, members)
        else:
            _add(kind, header, position, length, given, members)
            given = {}
        position += -(-length // BLOCK) * BLOCK


def _block(file: BinaryIO, position: int, members: Members) -> bytes:
    """Return a header, or the zeros at the end."""
    file.seek(position)
    header = file.read(BLOCK)
    if len(header) < BLOCK:
        raise members.damage('it is cut off: its end is missing')
    unsummed = header[:148] + b' ' * 8 + header[156:]
    if any(header) and sum(unsummed) != _number(header[148:156]):
        raise members.damage('it is damaged, or not a tar without compression' if position else 'it is not a plain tar')
    return header


def _number(field: bytes) -> int:
    """Return a number in octal digits, or GNU's of more bits; -1 for what is neither."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], 'big')
    try:
        return int(field.strip(b' \0') or b'0', 8)
    except ValueError:
        return -1


def _note(kind: bytes, file: BinaryIO, length: int, given: dict[str, bytes], members: Members) -> None:
    """Read what a header says of the next one."""
    if length > MAX_HEADER:
        raise members.fault(f'one of its headers has {length:,} bytes')
    content = file.read(length)
    if kind == _LONG_NAME:
        given['name'] = content.rstrip(b'\0')
        return
    fields = _fields(content)
    if fields is None:
        raise members.damage('it is damaged')
    if any(name.startswith(b'GNU.sparse') for name in fields):
        raise members.fault('one of its members is sparse')
    if kind == _FIELDS:
        given |= {name: fields[name.encode()] for name in ('path', 'size') if name.encode() in fields}
    elif b'path' in fields or b'size' in fields:
        raise members.fault('one of its headers gives all members one name or size')


def _fields(content: bytes) -> dict[bytes, bytes] | None:
    """Return the fields of pax, each with its length, a space, its name, `=`, its value and a line feed."""
    fields: dict[bytes, bytes] = {}
    while content:
        digits, _, _ = content[:20].partition(b' ')
        length = int(digits) if digits.isdigit() else 0
        name, equals, value = content[len(digits) + 1 : length].partition(b'=')
        if not equals or length > len(content) or not value.endswith(b'\n'):
            return None
        fields[name] = value[:-1]
        content = content[length:]
    return fields


def _size(header: bytes, given: dict[str, bytes]) -> int:
    """Return the size of a member, -1 if it is not a number."""
    digits = given.get('size')
    if digits is None:
        return _number(header[124:136])
    return int(digits) if digits.isdigit() and len(digits) < 20 else -1


def _add(kind: bytes, header: bytes, start: int, length: int, given: dict[str, bytes], members: Members) -> None:
    """Add a member, or nothing for a folder."""
    name = decoded(given.get('path') or given.get('name') or _name(header))
    if kind == _FOLDER or (kind in _FILES and name.endswith('/')):
        return
    fault = _fault(kind)
    if fault:
        raise members.fault(f'its member {name!r} is {fault}')
    members.add(name, start, length)


def _name(header: bytes) -> bytes:
    name, prefix = (part.partition(b'\0')[0] for part in (header[:100], header[345:500]))
    return prefix + b'/' + name if prefix and header[257:263] == b'ustar\0' else name


def _fault(kind: bytes) -> str | None:
    """Return why a member of a kind cannot be read, None for a file."""
    if kind in _FILES:
        return None
    return 'a link' if kind in _LINKS else 'a device or a pipe' if kind in _DEVICES else 'of an unknown kind'
