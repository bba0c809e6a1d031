"""Adaptive pooling as two matrix products, whose number of operators is the same for images of any size."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor

#: Height and width of a result, or both in one number; None keeps that of the input.
OutputSize: TypeAlias = 'int | tuple[int | None, ...] | list[int | None] | None'


def adaptive_avg_pool2d(input: Tensor, output_size: OutputSize) -> Tensor:  # noqa: A002  (as torch calls it)
    """Average over a grid of regions, as torch's function of the same name does.

    torch's exporters unroll that into the regions of the traced size, which are wrong for every other size.

    Args:
        input: `[..., H, W]`.
        output_size: of the grid.
    """
    height, width = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    if height == width == 1:
        return input.mean((-2, -1), keepdim=True)
    pooled = input if width is None else input @ _averages(input.shape[-1], width, input).T
    return pooled if height is None else _averages(input.shape[-2], height, input) @ pooled


def _averages(length: int, count: int, like: Tensor) -> Tensor:
    """Return the matrix `[count, length]` that averages a line over regions, with the type and device of a tensor."""
    region = torch.arange(count, device=like.device)[:, None]
    place = torch.arange(length, device=like.device)
    first = (region * length).div(count, rounding_mode='floor')
    end = ((region + 1) * length + count - 1).div(count, rounding_mode='floor')
    inside = ((place >= first) & (place < end)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)
