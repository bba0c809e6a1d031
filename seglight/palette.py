"""Class colours: a default palette, indexed PNG files and overlays."""

from __future__ import annotations

import colorsys
import io

import numpy as np
from PIL import Image

from seglight.array_types import UInt8Array

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

    Args:
        mask: uint8 `[H, W]`.
        palette: an RGB colour in 0 to 255 for each class; the remaining entries are white.
    """
    image = Image.fromarray(mask)
    image.putpalette([channel for colour in palette for channel in colour] + [255] * 3 * (256 - len(palette)))
    buffer = io.BytesIO()
    image.save(buffer, format='PNG')
    return buffer.getvalue()


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
    known = mask < len(palette)
    colours = np.asarray(palette, dtype=np.float32)[np.where(known, mask, 0)]
    mixed = image * (1 - opacity) + colours * opacity
    return np.where(known[..., None], mixed, image).astype(np.uint8)
