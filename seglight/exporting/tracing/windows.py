"""Windows of Swin Transformers in terms of their number, which torch can simplify.

mmseg pads a side to a multiple of the window with remainders. As symbols those nest with every stage, and torch proves
each reshape of such a side by algebra that takes minutes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.exporting.sizes import parts


def attend(self: Any, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
    """Do what the `forward` of mmseg's `ShiftWindowMSA` does.

    Args:
        self: the attention, which has the size of a window and by how much it is shifted.
        query: feature maps `[B, H * W, C]`.
        hw_shape: H and W.

    Returns:
        `[B, H * W, C]`.
    """
    (height, width), (count, _, channels) = hw_shape, query.shape
    side, shift = self.window_size, self.shift_size
    rows, columns = parts(height, side), parts(width, side)
    below, right = rows * side - height, columns * side - width
    image = F.pad(query.view(count, height, width, channels), (0, 0, 0, right, 0, below))
    if shift:
        image = image.roll((-shift, -shift), (1, 2))
    grid = image.view(count, rows, side, columns, side, channels)
    mask = _mask(rows, columns, side, shift).to(query) if shift else None
    attended = self.w_msa(grid.transpose(2, 3).reshape(-1, side * side, channels), mask=mask)
    grid = attended.view(count, rows, columns, side, side, channels)
    image = grid.transpose(2, 3).reshape(count, rows * side, columns * side, channels)
    if shift:
        image = image.roll((shift, shift), (1, 2))
    result: Tensor = self.drop(image[:, :height, :width].reshape(count, height * width, channels))
    return result


def _mask(rows: int, columns: int, side: int, shift: int) -> Tensor:
    """Return what keeps pixels apart that only the shift has made neighbours, `[windows, side ** 2, side ** 2]`."""
    across, along = _regions(rows * side, side, shift), _regions(columns * side, side, shift)
    grid = (3 * across[:, None] + along).view(rows, side, columns, side)
    region = grid.transpose(1, 2).reshape(-1, side * side)
    return torch.where(region[:, None] == region[:, :, None], 0.0, -100.0)


def _regions(length: int, side: int, shift: int) -> Tensor:
    """Return the region of each pixel of a line: 2 for what came from its start, 1 for the rest of the last window."""
    place = torch.arange(length)
    return (place >= length - side).long() + (place >= length - shift).long()
