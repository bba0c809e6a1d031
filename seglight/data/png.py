"""PNG decoding for masks, five times as fast as Pillow and OpenCV.

Both spend most of their time in zlib's inflate and in undoing PNG's filters byte by byte. zlib-ng inflates many times
as fast, and two filters are array operations: None, used for palettes, and Sub, written by OpenCV.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator

import numpy as np
from zlib_ng import zlib_ng

from seglight.array_types import UInt8Array
from seglight.palette import PNG_SIGNATURE

_FIRST_ROWS = 32  #: rows whose filters are checked before the rest is inflated
_MAX_PIXELS = 1 << 26  #: a larger header may be a decompression bomb, which is left to Pillow
#: Bit depth; grey or palette; compression, filters and no interlace.
_FORMATS = {(bits, kind, 0, 0, 0) for bits in (1, 2, 4, 8) for kind in (0, 3)}


def decode_png(data: bytes) -> UInt8Array | None:
    """Decode an upright PNG, grey or palette with at most 8 bits, that uses the filters None and Sub only.

    Args:
        data: the whole file.

    Returns:
        uint8 `[H, W]`, grey values or palette indices as stored, not scaled; or None if another decoder must try:
        for other formats and filters, EXIF, and damaged files.
    """
    if not data.startswith(PNG_SIGNATURE) or len(data) < 29:
        return None
    width, height, *kind = struct.unpack_from('>II5B', data, 16)  # from the header, the first chunk
    if tuple(kind) not in _FORMATS or not 0 < width * height <= _MAX_PIXELS:
        return None
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b'IHDR' or chunks[-1][0] != b'IEND':
        return None
    if any(name == b'eXIf' for name, _ in chunks):
        return None
    rows = _decoded(b''.join(body for name, body in chunks if name == b'IDAT'), height, -(-width * kind[0] // 8))
    return rows if rows is None or kind[0] == 8 else _unpacked(rows, kind[0], width)


def png_palette(data: bytes) -> UInt8Array | None:
    """Return the palette of a PNG that `decode_png` can decode, uint8 `[N, 3]` in RGB; None for grey values."""
    body = next((body for name, body in _chunks(data) if name == b'PLTE'), None) if data[25] == 3 else None
    return None if body is None else np.frombuffer(body[: len(body) // 3 * 3], dtype=np.uint8).reshape(-1, 3)


def _unpacked(rows: UInt8Array, bits: int, width: int) -> UInt8Array:
    """Unpack rows whose bytes hold several values each, the first in the highest bits; return uint8 `[H, W]`."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = (rows[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return np.ascontiguousarray(values.reshape(len(rows), -1)[:, :width])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk, up to the end or the first damaged chunk."""
    position, name = len(PNG_SIGNATURE), b''
    while position + 12 <= len(data) and name != b'IEND':
        length, name = struct.unpack_from('>I4s', data, position)
        end = position + 8 + length
        body = data[position + 8 : end]
        if data[end : end + 4] != zlib_ng.crc32(body, zlib_ng.crc32(name)).to_bytes(4, 'big'):
            return
        yield name, body
        position = end + 4


def _decoded(content: bytes, height: int, width: int) -> UInt8Array | None:
    """Return the rows of a zlib stream, uint8 `[H, W]`; None if it uses other filters or is damaged."""
    stream, size = zlib_ng.decompressobj(), height * (width + 1)
    first = min(size, _FIRST_ROWS * (width + 1))
    try:
        rows = stream.decompress(content, first)
        # Pillow writes grey masks with all filters; the first rows nearly always show that.
        if len(rows) < first or max(rows[:: width + 1]) > 1:
            return None
        rows += stream.decompress(stream.unconsumed_tail, size - first + 1)
    except zlib_ng.error:  # type: ignore[misc]  # its stub does not declare an exception
        return None
    if not stream.eof or len(rows) != size:
        return None
    return _unfiltered(np.frombuffer(rows, np.uint8).reshape(height, width + 1))


def _unfiltered(rows: UInt8Array) -> UInt8Array | None:
    """Undo the filters of rows, uint8 `[H, 1 + W]`; the first byte of a row is its filter."""
    filters, values = rows[:, 0], rows[:, 1:].copy()
    if filters.max() > 1:
        return None
    left = filters == 1
    if left.any():
        values[left] = _summed(values if left.all() else values[left])
    return values


def _summed(rows: UInt8Array) -> UInt8Array:
    """Return the cumulative sums of rows, modulo 256; by torch if it is imported, which is five times as fast."""
    torch = sys.modules.get('torch')
    summed: UInt8Array = (
        torch.cumsum(torch.from_numpy(rows), 1, dtype=torch.uint8).numpy() if torch else rows.cumsum(1, np.uint8)
    )
    return summed
