"""Masks whose pixel values are other numbers than the labels of the classes, as a benchmark may want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pytorch_lightning import LightningModule

from seglight.array_types import UInt8Array
from seglight.errors import UsageError
from seglight.palette import encode_mask

#: The pixel value of each class, 0 to 255; a single number is that of the first class, and the others follow.
Numbers = int | Sequence[int] | None


def numbers_of_classes(numbers: Numbers, pl_module: LightningModule) -> list[int] | None:
    """Return the pixel value of each class of a module, None for the labels themselves.

    Raises:
        UsageError: if there is not one from 0 to 255 for each class.
    """
    if numbers is None:
        return None
    count = len(getattr(pl_module, 'classes', ()))
    found = list(range(numbers, numbers + count) if isinstance(numbers, int) else numbers)
    if len(found) != count or not all(0 <= number <= 255 for number in found):
        raise UsageError(f'--mask-labels must be a number from 0 to 255 for each of the {count} classes, got {numbers}')
    return found


def encode_numbered(mask: UInt8Array, palette: list[list[int]], numbers: Sequence[int] | None) -> bytes:
    """Return an indexed PNG with the colours of the classes.

    Args:
        mask: uint8 `[H, W]`, labels.
        palette: an RGB colour in 0 to 255 for each class.
        numbers: the pixel value of each class; None for its label.
    """
    if numbers is None:
        return encode_mask(mask, palette)
    values = np.asarray(numbers, dtype=np.uint8)
    colours = dict(zip(values.tolist(), palette, strict=False))
    return encode_mask(values[mask], [colours.get(value, [255, 255, 255]) for value in range(256)])
