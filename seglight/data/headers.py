"""Height and width from the first bytes of the usual JPEGs and PNGs, many times as fast as Pillow opens them.

Everything unusual is left to Pillow, so that the result and the errors are its own.
"""

from __future__ import annotations

import struct
import zlib

from seglight.data.orientation import PREFIX, orientation_of
from seglight.palette import PNG_SIGNATURE

HEAD = 4096  #: bytes that suffice for most files

#: Frames of Huffman-coded JPEGs: baseline, extended and progressive.
_FRAMES = (0xC0, 0xC1, 0xC2)
#: Segments that say nothing of the size: tables, comments, and applications but EXIF and several pictures.
_OTHERS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
_SCAN, _APP1, _APP2 = 0xDA, 0xE1, 0xE2

#: Bit depth and type of colour of PNGs.
_PNGS = {
    *((bits, kind) for bits in (8, 16) for kind in (0, 2, 4, 6)),
    *((bits, kind) for bits in (1, 2, 4, 8) for kind in (0, 3)),
}
#: Chunks before the pixels that neither turn the image nor animate it.
_CHUNKS = {b'PLTE', b'tRNS', b'gAMA', b'cHRM', b'sRGB', b'sBIT', b'bKGD', b'pHYs', b'tIME', b'hIST'}


def upright_size(head: bytes) -> tuple[int, int] | None:
    """Return height and width of the image as it is read, upright; None if another reader must tell.

    Args:
        head: the first bytes of the file.
    """
    if head.startswith(b'\xff\xd8\xff'):
        return _jpeg_size(head)
    return _png_size(head) if head.startswith(PNG_SIGNATURE) else None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    position, exif = 2, b''
    size: tuple[int, int] | None = None
    while position + 4 <= len(head) and head[position] == 0xFF:
        marker, length = struct.unpack_from('>xBH', head, position)
        content = position + 4
        position += 2 + length
        if length < 2 or position > len(head):
            return None
        if marker == _SCAN:
            return (size[1], size[0]) if size is not None and exif and orientation_of(exif) >= 5 else size
        if marker in _FRAMES:
            bits, height, width, bands = struct.unpack_from('>BHHB', head, content) if length >= 8 else (0, 0, 0, 0)
            if size is not None or bits != 8 or not height or not width or bands not in (1, 3, 4):
                return None
            size = height, width
        elif marker not in _OTHERS or (marker == _APP2 and head.startswith(b'MPF\0', content)):
            return None
        elif marker == _APP1 and head.startswith(PREFIX, content):
            if exif:
                return None
            exif = head[content:position]
    return None


def _png_size(head: bytes) -> tuple[int, int] | None:
    position = len(PNG_SIGNATURE)
    size: tuple[int, int] | None = None
    while position + 12 <= len(head):
        length, name = struct.unpack_from('>I4s', head, position)
        if name == b'IDAT':
            return size
        end = position + 8 + length
        if end + 4 > len(head) or zlib.crc32(head[position + 4 : end]) != int.from_bytes(head[end : end + 4], 'big'):
            return None
        if size is None:
            if name != b'IHDR' or length != 13:
                return None
            width, height, bits, kind, *rest = struct.unpack_from('>II5B', head, position + 8)
            if (bits, kind) not in _PNGS or rest[:2] != [0, 0] or not width or not height:
                return None
            size = height, width
        elif name not in _CHUNKS:
            return None
        position = end + 4
    return None
