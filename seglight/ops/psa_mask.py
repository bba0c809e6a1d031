"""The attention masks of PSANet (https://hszhao.github.io/projects/psanet), as mmcv's `psa_mask`."""

from __future__ import annotations

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = 0, 1


def psa_mask(windows: Tensor, psa_type: int, mask_size: tuple[int, int] | int) -> Tensor:
    """Lay the mask that each pixel predicts for its surroundings over the whole feature map.

    A pixel's channels are a window of `mask_size`, centred on that pixel. What falls outside the map
    is dropped, what the window does not reach is zero.

    Args:
        windows: `[N, A*B, H, W]`, floating point, for windows of A rows and B columns.
        psa_type: 0 to collect: channel (i, j) of pixel (h, w) is what it takes from pixel (i, j);
            1 to distribute: channel (h, w) of pixel (i, j) is what pixel (h, w) gives to it.
        mask_size: `(A, B)`, or one number for both.

    Returns:
        `[N, H*W, H, W]`, contiguous, of the windows' dtype.

    Raises:
        ValueError: if there are not A*B channels.
    """
    rows, columns = (mask_size, mask_size) if isinstance(mask_size, int) else mask_size
    count, channels, height, width = windows.shape
    if channels != rows * columns:
        raise ValueError(f'psa_mask: a mask of {rows}x{columns} must have {rows * columns} channels, got {channels}')
    row, row_valid = _offsets(height, rows, psa_type, windows.device)
    column, column_valid = _offsets(width, columns, psa_type, windows.device)
    pixels = height * width
    # Both are [H, W, H, W]: the axes of the result behind its batch.
    source = row[:, None, :, None] * columns + column[None, :, None, :]
    valid = row_valid[:, None, :, None] & column_valid[None, :, None, :]
    values = windows.reshape(count, channels, pixels)
    if psa_type == DISTRIBUTE:
        values = values.transpose(1, 2)
    mask = values.gather(1 + psa_type, source.reshape(pixels, pixels).expand(count, -1, -1))  # N, H*W, H*W
    return mask.view(count, height, width, height, width).masked_fill(~valid, 0).view(count, pixels, height, width)


def _offsets(size: int, window: int, psa_type: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return where within a pixel's window another pixel of one axis lies, and whether it does, `[size, size]`.

    The axes are (other, pixel) to collect and (pixel, other) to distribute. What lies outside the
    window has the position of the nearest that does not, so that it can be looked up.
    """
    at = torch.arange(size, device=device)
    offset = at[:, None] - at[None, :] + (window - 1) // 2
    if psa_type == DISTRIBUTE:
        offset = offset.T
    nearest = offset.clamp(0, window - 1)
    return nearest, nearest == offset
