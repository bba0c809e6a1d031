"""K-Net's kernels, which each image has of its own, as one matrix product for all images instead of a loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def updated(
    self: Any, x: Tensor, proposal_feat: Tensor, mask_preds: Tensor, mask_shape: Any = None
) -> tuple[Tensor, Tensor]:
    """Do what the `forward` of mmseg's `KernelUpdateHead` does.

    Args:
        self: the head.
        x: feature maps `[B, C, H, W]`.
        proposal_feat: the kernels of the stage before, `[B, N, C, K, K]`.
        mask_preds: its masks, `[B, N, h, w]`.
        mask_shape: height and width of the masks, if not those of the feature maps.

    Returns:
        The masks, and the kernels.
    """
    count, proposals, channels = proposal_feat.shape[:3]
    side, halved = self.conv_kernel_size, self.mask_transform_stride == 2
    features = x if self.feat_transform is None else self.feat_transform(x)
    shares = _resized(mask_preds, features.shape[-2:]).softmax(1)
    gathered = torch.einsum('bnhw,bchw->bnc', shares, features)
    kernels = self.kernel_update_conv(gathered, proposal_feat.flatten(3).transpose(2, 3))
    attended = self.attention(kernels.reshape(count, proposals, -1).transpose(0, 1))
    kernels = self.attention_norm(attended).transpose(0, 1).reshape(count, proposals, -1, channels)
    if self.with_ffn:
        kernels = self.ffn_norm(self.ffn(kernels))
    weights = kernels
    for layer in self.mask_fcs:
        weights = layer(weights)
    if halved and self.feat_gather_stride == 1:
        features = F.interpolate(features, scale_factor=0.5, mode='bilinear', align_corners=False)
    height, width = features.shape[-2:]
    pixels = features.flatten(2) if side == 1 else F.unfold(features, side, padding=side // 2)
    masks = (self.fc_mask(weights).transpose(2, 3).flatten(2) @ pixels).view(count, proposals, height, width)
    if halved:
        masks = F.interpolate(masks, scale_factor=2, mode='bilinear', align_corners=False)
    if mask_shape is not None:
        masks = _resized(masks, mask_shape)
    return masks, kernels.transpose(2, 3).reshape(count, proposals, channels, side, side)


def _resized(masks: Tensor, size: Any) -> Tensor:
    return F.interpolate(masks, size, mode='bilinear', align_corners=False)
