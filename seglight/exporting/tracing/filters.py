"""DMNet's filters, which each image has of its own, without a convolution of as many groups as images and channels."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from torch import Tensor
from torch.nn import functional as F


def filtered(self: Any, x: Tensor) -> Tensor:
    """Do what the `forward` of mmseg's `DCM` does; ONNX has convolutions of a fixed number of groups alone.

    Args:
        self: the module.
        x: feature maps `[B, C, H, W]`.

    Returns:
        `[B, channels, H, W]`.
    """
    side = self.filter_size
    weights = self.filter_gen_conv(F.adaptive_avg_pool2d(x, side))
    image = self.input_redu_conv(x)
    (height, width), before, after = image.shape[2:], side // 2, (side - 1) // 2
    padded = F.pad(image, (before, after, before, after))
    places = [(row, column) for row in range(side) for column in range(side)]
    output = reduce(
        add,
        (
            padded[:, :, row : row + height, column : column + width] * weights[:, :, row, column, None, None]
            for row, column in places
        ),
    )
    output = self.activate(output if self.norm is None else self.norm(output))
    result: Tensor = self.fusion_conv(output) if self.fusion else output
    return result
