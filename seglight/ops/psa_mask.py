"""The attention masks of PSANet (https://hszhao.github.io/projects/psanet), equivalent to mmcv's `psa_mask`."""

from __future__ import annotations

import torch
from torch import Tensor

COLLECT, DISTRIBUTE = 0, 1


def psa_mask(windows: Tensor, psa_type: int, mask_size: tuple[int, int] | int) -> Tensor:
    """Expand the attention window of each pixel to the whole feature map.

    The channels of a pixel are a window of `mask_size` centred on it. Parts of the window outside the map are dropped;
    pixels outside the window are zero.

    Args:
        windows: `[N, A*B, H, W]`, floating point, for windows of A rows and B columns.
        psa_type: 0 to collect: channel (i, j) of pixel (h, w) is the weight from pixel (i, j) to (h, w);
            1 to distribute: channel (h, w) of pixel (i, j) is the weight from pixel (h, w) to (i, j).
        mask_size: `(A, B)`, or one number for both.

    Returns:
        `[N, H*W, H, W]`, contiguous, with the dtype of `windows`.

    Raises:
        ValueError: unless there are A*B channels.
    """
    rows, columns = (mask_size, mask_size) if isinstance(mask_size, int) else mask_size
    count, channels, height, width = windows.shape
    if channels != rows * columns:
        raise ValueError(f'psa_mask: a mask of {rows}x{columns} must have {rows * columns} channels, got {channels}')
    row, row_valid = _offsets(height, rows, psa_type, windows.device)
    column, column_valid = _offsets(width, columns, psa_type, windows.device)
    pixels = height * width
    # Both are [H, W, H, W]: the axes of the result after the batch.
    source = row[:, None, :, None] * columns + column[None, :, None, :]
    valid = row_valid[:, None, :, None] & column_valid[None, :, None, :]
    values = windows.reshape(count, channels, pixels)
    if psa_type == DISTRIBUTE:
        values = values.transpose(1, 2)
    mask = values.gather(1 + psa_type, source.reshape(pixels, pixels).expand(count, -1, -1))  # N, H*W, H*W
    return mask.view(count, height, width, height, width).masked_fill(~valid, 0).view(count, pixels, height, width)


def _offsets(size: int, window: int, psa_type: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the index of another pixel within a pixel's window along one axis, and its validity, `[size, size]`.

    The axes are (other, pixel) to collect and (pixel, other) to distribute. Indices outside the window are clamped, so
    that they can be looked up.
    """
    position = torch.arange(size, device=device)
    offset = position[:, None] - position[None, :] + (window - 1) // 2
    if psa_type == DISTRIBUTE:
        offset = offset.T
    nearest = offset.clamp(0, window - 1)
    return nearest, nearest == offset
