"""Class colours: a default palette, indexed PNG files and overlays."""

from __future__ import annotations

import colorsys
import struct
from functools import lru_cache

import numpy as np
from zlib_ng import zlib_ng

from seglight.array_types import UInt8Array

PNG_SIGNATURE = b'\x89PNG\r\n\x1a\n'  #: first bytes of a PNG

_INDEXED = 3  #: PNG's colour type of palette images

_BY_HUE = 60  #: number of colours that hues a golden angle apart still distinguish


def default_palette(num_classes: int) -> list[list[int]]:
    """Return an RGB colour for each class: black for the first, then hues a golden angle apart.

    From the 60th on, each is the colour of a grid that is farthest from all previous ones.
    """
    palette = [[0, 0, 0]]
    for index in range(1, min(num_classes, _BY_HUE)):
        hue = index * 0.618033988749895 % 1
        red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.4 * (index % 2), 0.95 - 0.3 * (index // 2 % 2))
        palette.append([round(255 * red), round(255 * green), round(255 * blue)])
    return (palette + _farthest(palette, num_classes - len(palette)))[:num_classes]


def _farthest(palette: list[list[int]], count: int) -> list[list[int]]:
    """Return colours for `count` more classes, none of them grey."""
    steps = np.linspace(30, 250, 9).round()
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    grid = grid[np.ptp(grid, axis=1) > 60]
    distances = np.linalg.norm(grid[:, None] - np.array(palette), axis=-1).min(axis=1)
    colours = []
    for _ in range(count):
        colour = grid[distances.argmax()]
        colours.append([int(channel) for channel in colour])
        distances = np.minimum(distances, np.linalg.norm(grid - colour, axis=-1))
    return colours


def encode_mask(mask: UInt8Array, palette: list[list[int]]) -> bytes:
    """Return an indexed PNG whose pixel values are the labels.

    zlib-ng compresses it in a fraction of Pillow's time, to a slightly smaller file.

    Args:
        mask: uint8 `[H, W]`.
        palette: an RGB colour in 0 to 255 for each class; the remaining entries are white.
    """
    height, width = mask.shape
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row starts with its filter, 0 for none
    rows[:, 1:] = mask
    colours = bytes(channel for colour in palette[:256] for channel in colour)
    header = struct.pack('>IIBBBBB', width, height, 8, _INDEXED, 0, 0, 0)
    chunks = (
        (b'IHDR', header),
        (b'PLTE', colours.ljust(3 * 256, b'\xff')),
        (b'IDAT', zlib_ng.compress(rows, 6)),
        (b'IEND', b''),
    )
    return PNG_SIGNATURE + b''.join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG, with its length and its checksum."""
    checksum = zlib_ng.crc32(content, zlib_ng.crc32(name))
    return struct.pack('>I', len(content)) + name + content + struct.pack('>I', checksum)


def overlay(image: UInt8Array, mask: UInt8Array, palette: list[list[int]], opacity: float = 0.5) -> UInt8Array:
    """Lay the colours of a mask over an image.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
        mask: uint8 `[H, W]`; labels outside the palette leave the image unchanged.
        palette: an RGB colour in 0 to 255 for each class.
        opacity: weight of the colour, 0 to 1.

    Returns:
        uint8 `[H, W, 3]`, RGB.
    """
    mixed = _mixed(tuple(map(tuple, palette)), opacity)
    result = np.empty_like(image)
    row = mask.astype(np.uint16) << 8
    for channel, table in enumerate(mixed):
        result[..., channel] = table[row | image[..., channel]]
    return result


@lru_cache(maxsize=8)
def _mixed(palette: tuple[tuple[int, ...], ...], opacity: float) -> UInt8Array:
    """Return the result of each label over each value of a channel, `[3, 256 * 256]`, the label first."""
    result = np.tile(np.arange(256, dtype=np.uint8), (3, 256, 1))
    colours = np.asarray(palette, dtype=np.float32).reshape(-1, 3)[:256]
    values = np.arange(256)[None, :, None] * (1 - opacity) + colours[:, None] * opacity
    result[:, : len(colours)] = values.astype(np.uint8).transpose(2, 0, 1)
    return result.reshape(3, -1)
