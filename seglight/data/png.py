"""Decoding PNG files of labels: what most masks are, in a fifth of the time of Pillow and OpenCV.

Both spend it in zlib's inflate and in undoing PNG's filters a byte at a time. zlib-ng inflates many times as fast,
and two filters are array operations: none, which files with a palette have, and the difference to the left, which
OpenCV writes.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

import numpy as np
from zlib_ng import zlib_ng

from seglight.array_types import UInt8Array

SIGNATURE = b'\x89PNG\r\n\x1a\n'
_LOOKED_AT = 32  #: rows whose filters are looked at before the others are inflated
_MOST_PIXELS = 1 << 26  #: a larger header may be a bomb: Pillow has its rules for it
#: Bit depth; grey or palette; compression, filters and no interlace.
_FORMATS = {(bits, kind, 0, 0, 0) for bits in (1, 2, 4, 8) for kind in (0, 3)}


def decode_png(data: bytes) -> UInt8Array | None:
    """Decode an upright PNG of one channel of at most 8 bits, grey or palette, with the filters None and Sub alone.

    Args:
        data: the whole file.

    Returns:
        uint8 `[H, W]`, grey values or palette indices as they are stored, also those of 1, 2 and 4 bits; or None
        for what another decoder has to see to: other formats and filters, EXIF, and files that are damaged.
    """
    if not data.startswith(SIGNATURE) or len(data) < 29:
        return None
    width, height, *kind = struct.unpack_from('>II5B', data, 16)  # of the header, which is the first chunk
    if tuple(kind) not in _FORMATS or not 0 < width * height <= _MOST_PIXELS:
        return None
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b'IHDR' or chunks[-1][0] != b'IEND':
        return None
    if any(name == b'eXIf' for name, _ in chunks):
        return None
    rows = _decoded(b''.join(body for name, body in chunks if name == b'IDAT'), height, -(-width * kind[0] // 8))
    return rows if rows is None or kind[0] == 8 else _unpacked(rows, kind[0], width)


def png_palette(data: bytes) -> UInt8Array | None:
    """Return the palette of a PNG that `decode_png` decoded, uint8 `[N, 3]` in RGB; None for grey values."""
    body = next((body for name, body in _chunks(data) if name == b'PLTE'), None) if data[25] == 3 else None
    return None if body is None else np.frombuffer(body[: len(body) // 3 * 3], dtype=np.uint8).reshape(-1, 3)


def _unpacked(rows: UInt8Array, bits: int, width: int) -> UInt8Array:
    """Return the values of rows, uint8 `[H, W]`, of which each byte holds several, the first in its highest bits."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = (rows[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.ascontiguousarray(values.reshape(len(rows), -1)[:, :width])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk up to the last, or to the first that is damaged."""
    position, name = len(SIGNATURE), b''
    while position + 12 <= len(data) and name != b'IEND':
        length, name = struct.unpack_from('>I4s', data, position)
        end = position + 8 + length
        body = data[position + 8 : end]
        if data[end : end + 4] != zlib_ng.crc32(body, zlib_ng.crc32(name)).to_bytes(4, 'big'):
            return
        yield name, body
        position = end + 4


def _decoded(content: bytes, height: int, width: int) -> UInt8Array | None:
    """Return the rows of a zlib stream, uint8 `[H, W]` of W bytes, None for other filters, or if it is damaged."""
    stream, size = zlib_ng.decompressobj(), height * (width + 1)
    few = min(size, _LOOKED_AT * (width + 1))
    try:
        rows = stream.decompress(content, few)
        # Pillow writes grey masks with all kinds of filters, which nearly always shows in a few rows.
        if len(rows) < few or max(rows[:: width + 1]) > 1:
            return None
        rows += stream.decompress(stream.unconsumed_tail, size - few + 1)
    except zlib_ng.error:  # type: ignore[misc]  # an exception, which its stub does not tell
        return None
    if not stream.eof or len(rows) != size:
        return None
    return _unfiltered(np.frombuffer(rows, np.uint8).reshape(height, width + 1))


def _unfiltered(rows: UInt8Array) -> UInt8Array | None:
    """Undo the filters of rows, uint8 `[H, 1 + W]` with the number of its filter before each."""
    filters, values = rows[:, 0], rows[:, 1:].copy()
    if filters.max() > 1:
        return None
    left = filters == 1
    if left.any():
        values[left] = _summed(values if left.all() else values[left])
    return values


def _summed(rows: UInt8Array) -> UInt8Array:
    """Return the sums of rows from the left, modulo 256: by torch, in a fifth of numpy's time, if it is loaded."""
    torch = sys.modules.get('torch')
    summed: UInt8Array = (
        torch.cumsum(torch.from_numpy(rows), 1, dtype=torch.uint8).numpy() if torch else rows.cumsum(1, np.uint8)
    )
    return summed
