"""TIFF files by hand, of kinds that Pillow and OpenCV do not write."""

import struct
from collections.abc import Sequence
from typing import Literal

import numpy as np

FORMATS = {'u': 1, 'i': 2, 'f': 3}


def tiff(
    pixels: np.ndarray,
    planar: bool = False,
    photometric: int = 1,
    extra: Sequence[int] = (),
    order: Literal['<', '>'] = '<',
    big: bool = False,
    tile: int = 0,
    bits: int = 0,
) -> bytes:
    """Return an uncompressed TIFF (6.0) or BigTIFF.

    Args:
        pixels: `[H, W, C]`; for less than 8 bits `[H, bytes of a row, 1]`.
        planar: store each band by itself.
        photometric: 1 for grey, 2 for RGB.
        extra: `ExtraSamples`: 0 not specified, 1 and 2 alpha.
        order: of bytes, `<` or `>`.
        big: 64-bit offsets.
        tile: edge of tiles, 0 for one strip.
        bits: of each value, by default those of the dtype.
    """
    height, width, bands = pixels.shape
    values = pixels.astype(pixels.dtype.newbyteorder(order))
    planes = [values[..., index : index + 1] for index in range(bands)] if planar else [values]
    parts = [part for plane in planes for part in (_tiles(plane, tile) if tile else [plane.tobytes()])]
    head = 16 if big else 8
    offsets = np.cumsum([head, *map(len, parts)]).tolist()
    size = bits or pixels.dtype.itemsize * 8
    tags: dict[int, Sequence[int]] = {
        256: [width * 8 // size if bits else width],
        257: [height],
        258: [size] * bands,
        259: [1],
        262: [photometric],
        277: [bands],
        284: [2 if planar else 1],
        339: [FORMATS[pixels.dtype.kind]] * bands,
    }
    lengths = [len(part) for part in parts]
    tags |= (
        {322: [tile], 323: [tile], 324: offsets[:-1], 325: lengths}
        if tile
        else {273: offsets[:-1], 278: [height], 279: lengths}
    )
    if extra:
        tags[338] = extra
    return _file(b''.join(parts), tags, order, big)


def _tiles(plane: np.ndarray, edge: int) -> list[bytes]:
    height, width = plane.shape[:2]
    padded = np.pad(plane, ((0, -height % edge), (0, -width % edge), (0, 0)))
    rows, columns = range(0, height, edge), range(0, width, edge)
    return [padded[top : top + edge, left : left + edge].tobytes() for top in rows for left in columns]


def _file(content: bytes, tags: dict[int, Sequence[int]], order: str, big: bool) -> bytes:
    offset, code, room = ('Q', 16, 8) if big else ('I', 4, 4)
    head = 16 if big else 8
    content += bytes(len(content) % 2)
    entries, behind = b'', b''
    start = head + len(content)
    end = start + (8 if big else 2) + len(tags) * (20 if big else 12) + room
    for tag, values in sorted(tags.items()):
        body = struct.pack(f'{order}{len(values)}{offset}', *values)
        place = body.ljust(room, b'\0') if len(body) <= room else struct.pack(f'{order}{offset}', end + len(behind))
        behind += body if len(body) > room else b''
        entries += struct.pack(f'{order}HH{offset}', tag, code, len(values)) + place
    count = struct.pack(f'{order}Q' if big else f'{order}H', len(tags))
    mark = b'II' if order == '<' else b'MM'
    first = struct.pack(f'{order}HHHQ', 43, 8, 0, start) if big else struct.pack(f'{order}HI', 42, start)
    return mark + first + content + count + entries + bytes(room) + behind
