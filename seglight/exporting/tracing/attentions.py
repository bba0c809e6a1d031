"""PSANet's attention with one rule for its resizing, where mmseg has another one if both sides are odd."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def attended(self: Any, inputs: list[Tensor]) -> Tensor:
    """Do what the `forward` of mmseg's `PSAHead` does.

    Args:
        self: the head.
        inputs: feature maps of the backbone.

    Returns:
        Logits `[B, C, H, W]`.
    """
    x = self._transform_inputs(inputs)
    size, rounded = _shrunk(x.shape[2], x.shape[3], self.shrink_factor)
    images = []
    for reduce, attention, mask, transposes in _branches(self):
        image = _resized(reduce(x), size, rounded, self)
        weights = attention(image)
        weights = weights.flatten(2) if self.compact else mask(weights).flatten(2)
        if self.compact and transposes:
            weights = weights.transpose(1, 2)
        if self.psa_softmax:
            weights = F.softmax(weights, 1)
        images.append((image.flatten(2) @ weights).view(image.shape) * (1.0 / self.normalization_factor))
    image = _resized(self.proj(torch.cat(images, 1)), (x.shape[2], x.shape[3]), rounded, self)
    logits: Tensor = self.cls_seg(self.bottleneck(torch.cat((x, image), 1)))
    return logits


def _branches(self: Any) -> list[tuple[Any, Any, Any, bool]]:
    """Return the layers of each direction, and whether its compact weights are transposed."""
    if self.psa_type != 'bi-direction':
        return [(self.reduce, self.attention, None if self.compact else self.psamask, self.psa_type == 'collect')]
    return [
        (self.reduce, self.attention, self.psamask_collect, False),
        (self.reduce_p, self.attention_p, self.psamask_distribute, True),
    ]


def _shrunk(height: int, width: int, factor: int) -> tuple[tuple[int, int], int]:
    """Return the sides divided by a factor, and 1 if they are rounded up, since neither is a multiple of it, else 0."""
    rounded = ((height % factor + factor - 1) // factor) * ((width % factor + factor - 1) // factor)
    return (height // factor + rounded, width // factor + rounded), rounded


def _resized(image: Tensor, size: tuple[int, int], rounded: int, self: Any) -> Tensor:
    """Resize bilinearly, with aligned corners where sides were rounded up."""
    if self.shrink_factor == 1:
        return F.interpolate(image, size, mode='bilinear', align_corners=self.align_corners)
    aligned = torch.full((1, 1), rounded, device=image.device) == 1
    down, along = (_shares(*pair, aligned).to(image) for pair in zip(image.shape[2:], size, strict=True))
    return down @ image @ along.T


def _shares(length: int, count: int, aligned: Tensor) -> Tensor:
    """Return the matrix `[count, length]` by which a line is resized; `aligned` is a bool `[1, 1]`."""
    target = torch.arange(count, device=aligned.device)[:, None].float()
    centres = ((target + 0.5) * length / count - 0.5).clamp(0, length - 1)
    corners = target * (length - 1) / torch.sym_max(count - 1, 1)
    place = torch.arange(length, device=aligned.device)
    return (1 - (torch.where(aligned, corners, centres) - place).abs()).clamp(min=0)
