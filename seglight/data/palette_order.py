"""Palettes of mask files that have the colours of `data.palette` in another order.

Colours are packed into one integer each, see `packed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seglight.array_types import UInt8Array
from seglight.data.masks import Labels


def packed(colour: Sequence[int] | UInt8Array) -> int:
    """Return an RGB colour as one integer."""
    red, green, blue = (int(channel) for channel in colour)
    return red << 16 | green << 8 | blue


def reordered_labels(
    stored: UInt8Array,
    mask: Labels,
    palette: Sequence[Sequence[int]],
    labels: Mapping[int, int],
    ignore_index: int,
) -> UInt8Array | None:
    """Return the label for each index of a palette that is `data.palette` in another order.

    This is the case if the first colours, one for each class, are those of `data.palette`; or if all colours of the
    file are in it (or ignored), since programs omit colours that an image does not need.

    Args:
        stored: palette of the file, uint8 `[N, 3]`.
        mask: the indices of its pixels.
        palette: the colours of the classes, all different.
        labels: the label of each packed colour, including ignored ones.
        ignore_index: the ignored label, which keeps its index.

    Returns:
        uint8 `[256]`, or None if the indices are labels: for the same order, or another palette.
    """
    shared = min(len(palette), len(stored))
    if not shared or np.array_equal(stored[:shared], np.array(palette, dtype=np.uint8)[:shared]):
        return None
    colours, expected = [packed(colour) for colour in stored], {packed(colour) for colour in palette}
    length = max(_unpadded_length(colours), int(mask.max(initial=0, where=mask != ignore_index)) + 1)
    used = colours[:length]
    is_subset = len(set(used)) == len(used) == length and set(used) <= labels.keys()
    if not is_subset and set(colours[: len(palette)]) != expected:
        return None
    table = np.arange(256, dtype=np.uint8)
    for index, colour in enumerate(colours[:256]):
        table[index] = labels.get(colour, index)
    table[ignore_index] = ignore_index
    return table


def _unpadded_length(colours: Sequence[int]) -> int:
    """Return the length of a palette without the repeated colour with which many programs fill it up."""
    length = len(colours)
    while length and colours[length - 1] == colours[-1]:
        length -= 1
    return len(colours) if length == len(colours) - 1 else length
