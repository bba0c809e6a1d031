"""PointRend's uncertain points for images of any size: their places come from a table instead of remainders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def uncertain(
    self: Any, seg_logits: Tensor, uncertainty_func: Callable[[Tensor], Tensor], cfg: Any
) -> tuple[Tensor, Tensor]:
    """Do what `get_points_test` of mmseg's `PointHead` does; ONNX has no remainder of a tensor and a length.

    Args:
        self: the head.
        seg_logits: `[B, C, H, W]`.
        uncertainty_func: maps the logits to the uncertainty of each pixel, `[B, 1, H, W]`.
        cfg: the `test_cfg` of the segmentor, with the number of points N; smaller images have all their pixels refined.

    Returns:
        The indices of the most uncertain pixels, int64 `[B, N]`, and their centres as x and y in 0 to 1, `[B, N, 2]`.
    """
    del self
    height, width = seg_logits.shape[2:]
    count = torch.sym_min(height * width, cfg.subdivision_num_points)
    indices = uncertainty_func(seg_logits).flatten(1).topk(count, dim=1).indices
    y, x = (_centres(length, seg_logits) for length in (height, width))
    table = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1).flatten(0, 1)
    return indices, table[indices]


def _centres(length: int, like: Tensor) -> Tensor:
    """Return the centres of the pixels of a line, in 0 to 1, `[length]`."""
    place = torch.arange(length, device=like.device).float()
    return (place + 0.5) / length
