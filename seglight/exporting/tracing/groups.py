"""ISANet's groups of pixels, counted with whole numbers instead of floats, which programs cannot hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.exporting.sizes import parts


def interlaced(self: Any, inputs: list[Tensor]) -> Tensor:
    """Do what the `forward` of mmseg's `ISAHead` does.

    Args:
        self: the head.
        inputs: feature maps of the backbone.

    Returns:
        Logits `[B, C, H, W]`.
    """
    residual = self.in_conv(self._transform_inputs(inputs))
    count, channels, height, width = residual.shape
    rows, columns = self.down_factor
    down, along = parts(height, rows), parts(width, columns)
    below, right = down * rows - height, along * columns - width
    top, left = below // 2, right // 2
    image = F.pad(residual, (left, right - left, top, below - top))
    grid = image.view(count, channels, down, rows, along, columns).permute(0, 3, 5, 1, 2, 4)
    spread = self.global_relation(grid.reshape(-1, channels, down, along))
    grid = spread.view(count, rows, columns, channels, down, along).permute(0, 4, 5, 3, 1, 2)
    near = self.local_relation(grid.reshape(-1, channels, rows, columns))
    grid = near.view(count, down, along, channels, rows, columns).permute(0, 3, 1, 4, 2, 5)
    image = grid.reshape(count, channels, down * rows, along * columns)[:, :, top : top + height, left : left + width]
    logits: Tensor = self.cls_seg(self.out_conv(torch.cat([image, residual], 1)))
    return logits
