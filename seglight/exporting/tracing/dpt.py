"""DPT's feature maps: contiguous, and always resized, to their own size if need be, which changes nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def reassembled(self: Any, inputs: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Do what the `forward` of mmseg's `ReassembleBlocks` does.

    Its transposed feature maps pass for channels-last ones, of which torch requires sides of two pixels and two images.

    Args:
        self: the blocks.
        inputs: of each stage, feature maps `[B, C, H, W]` and the class token `[B, C]`.

    Returns:
        Of each stage, feature maps of its own size.
    """
    images = []
    for index, (image, token) in enumerate(inputs):
        if self.readout_type == 'project':
            pixels = image.flatten(2).transpose(1, 2)
            both = torch.cat([pixels, token[:, None].expand_as(pixels)], -1)
            image = self.readout_projects[index](both).transpose(1, 2).contiguous().view(image.shape)
        elif self.readout_type == 'add':
            image = image + token[:, :, None, None]
        images.append(self.resize_layers[index](self.projects[index](image)))
    return images


def fused(self: Any, *inputs: Tensor) -> Tensor:
    """Do what the `forward` of mmseg's `FeatureFusionBlock` does, without comparing sizes.

    Args:
        self: the block.
        inputs: feature maps `[B, C, H, W]`, and those of the stage before, `[B, C, h, w]`, if there are any.

    Returns:
        `[B, channels, 2 * H, 2 * W]`.
    """
    x = inputs[0]
    if len(inputs) == 2:
        x = x + self.res_conv_unit1(_resized(inputs[1], x))
    return _enlarged(self.res_conv_unit2(x), self.project, self.align_corners)


def fused_hf(self: Any, hidden_state: Tensor, residual: Tensor | None = None) -> Tensor:
    """Do what the `forward` of transformers' `DPTFeatureFusionLayer` does, without comparing sizes; as `fused`."""
    if residual is not None:
        hidden_state = hidden_state + self.residual_layer1(_resized(residual, hidden_state))
    return _enlarged(self.residual_layer2(hidden_state), self.projection, self.align_corners)


def _resized(image: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(image, like.shape[2:], mode='bilinear', align_corners=False)


def _enlarged(image: Tensor, project: Any, align_corners: bool) -> Tensor:
    result: Tensor = project(F.interpolate(image, scale_factor=2, mode='bilinear', align_corners=align_corners))
    return result
