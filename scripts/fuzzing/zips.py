"""Write zips by hand, so that parsers read different records from them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

STORED, DEFLATED = 0, 8


class Record(NamedTuple):
    """A record of a zip.

    Attributes:
        name: its name in the directory.
        data: its contents.
        method: `STORED` or `DEFLATED`.
        local_name: its name in the header before its contents, None for the same.
        claimed: the size in the directory, None for the true size.
        version: the version that the directory says is needed, times 10.
        extra: the extra field in the directory.
    """

    name: str
    data: bytes
    method: int = STORED
    local_name: str | None = None
    claimed: int | None = None
    version: int = 20
    extra: bytes = b''


def make_zip(
    records: Sequence[Record], shown: Sequence[Record] = (), prefix: bytes = b'', comment: bytes = b''
) -> bytes:
    """Return a zip.

    Args:
        records: the records.
        shown: records for a second directory between the first and the end, whose offset is that of the first:
            a reader that counts back from the end reads this one. Their data are written too.
        prefix: bytes before the first record.
        comment: the comment at the end.
    """
    result = bytearray(prefix)
    entries = [_append(result, record) for record in records]
    others = [_append(result, record) for record in shown]
    offset, directory, other = len(result), b''.join(entries), b''.join(others)
    size = len(other or directory)
    result += directory + other
    count = len(shown or records)
    result += struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, count, count, size, offset, len(comment)) + comment
    return bytes(result)


def _append(result: bytearray, record: Record) -> bytes:
    """Append a record to a zip, and return its entry in the directory."""
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflated.compress(record.data) + deflated.flush() if record.method == DEFLATED else record.data
    name = record.name.encode()
    local_name = name if record.local_name is None else record.local_name.encode()
    offset, claimed = len(result), len(record.data) if record.claimed is None else record.claimed
    sums = (record.method, 0, 0, zlib.crc32(record.data), len(data))
    result += struct.pack('<4s5H3I2H', b'PK\3\4', 20, 0, *sums, len(record.data), len(local_name), 0)
    result += local_name + data
    head = struct.pack('<4s6H3I', b'PK\1\2', 20, record.version, 0, *sums, claimed)
    return head + struct.pack('<5H2I', len(name), len(record.extra), 0, 0, 0, 0, offset) + name + record.extra
