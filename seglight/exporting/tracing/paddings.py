"""Paddings to what a convolution with a stride needs, without the floats, branches and `int` of other libraries."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.exporting.sizes import parts


def pad_shape(self: Any, input_shape: tuple[int, int]) -> tuple[int, int]:
    """Do what `get_pad_shape` of mmseg's `AdaptivePadding` does, without floats."""
    reach = [(side - 1) * apart + 1 for side, apart in zip(self.kernel_size, self.dilation, strict=True)]
    height, width = map(_missing, input_shape, self.stride, reach)
    return height, width


def _missing(length: int, stride: int, reach: int) -> int:
    """Return by how much a line is too short for a kernel that starts at every stride and reaches over some places."""
    missing = (parts(length, stride) - 1) * stride + reach - length
    return missing if reach >= stride else torch.sym_max(missing, 0)


def convolved(self: Any, x: Tensor) -> Tensor:
    """Do what the `forward` of mmcv's `Conv2dAdaptivePadding` does.

    Args:
        self: the convolution.
        x: feature maps `[B, C, H, W]`.

    Returns:
        `[B, channels, ceil(H / stride), ceil(W / stride)]`.
    """
    height, width = pad_shape(self, (x.shape[2], x.shape[3]))
    top, left = height // 2, width // 2
    image = F.pad(x, (left, width - left, top, height - top))
    return F.conv2d(image, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def padded_as_tensorflow(features: Tensor, conv_layer: Any) -> Tensor:
    """Do what `apply_tf_padding` of transformers' MobileNet V2 does.

    Args:
        features: `[B, C, H, W]`.
        conv_layer: the convolution that comes next.
    """
    padding: list[int] = []
    for axis in (1, 0):
        missing = _missing(features.shape[2 + axis], conv_layer.stride[axis], conv_layer.kernel_size[axis])
        padding += [each * conv_layer.dilation[axis] for each in (missing // 2, missing - missing // 2)]
    return F.pad(features, padding)
