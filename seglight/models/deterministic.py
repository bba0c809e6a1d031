"""Parts of a segmentor with a deterministic backward pass on a GPU, where torch's have none."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class DeterministicPool(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling as two matrix products, which torch can differentiate deterministically on a GPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        """Return the means of the cells of `[..., H, W]`, equal to torch's to rounding."""
        height, width = (
            side if count is None else count
            for count, side in zip(_sides(self.output_size), input.shape[-2:], strict=True)
        )
        return _cells(input, height) @ input @ _cells(input.mT, width).mT


def make_deterministic(segmentor: nn.Module) -> None:
    """Replace the parts of a segmentor that torch cannot differentiate deterministically on a GPU."""
    for part in segmentor.modules():
        if type(part) is nn.AdaptiveAvgPool2d and _sides(part.output_size) != (1, 1):  # torch takes the mean of 1x1
            part.__class__ = DeterministicPool


def _sides(size: Any) -> tuple[int | None, int | None]:
    return size if isinstance(size, tuple) else (size, size)


def _cells(like: Tensor, count: int) -> Tensor:
    """Return the share of each row of `[..., N, M]` in the mean of each of `count` cells, `[count, N]`."""
    rows = like.shape[-2]
    cell = torch.arange(count, device=like.device).unsqueeze(1)
    row = torch.arange(rows, device=like.device)
    inside = (row >= cell * rows // count) & (row < -(-(cell + 1) * rows // count))
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)
