"""Position embeddings resized to the grid of patches without asking whether they already have its length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def positioned(self: Any, patched_img: Tensor, hw_shape: tuple[int, int], pos_embed: Tensor) -> Tensor:
    """Do what `_pos_embeding` of mmseg's `VisionTransformer` does, which a trace would decide once for all sizes.

    Like mmseg, it keeps embeddings as they are for any grid with as many patches as theirs, such as 2x8 for 4x4.

    Args:
        self: the backbone.
        patched_img: the class token and the patches, `[B, 1 + H * W, C]`.
        hw_shape: H and W.
        pos_embed: `[1, 1 + h * w, C]`, for images of the backbone's `img_size`.

    Returns:
        Their sum, `[B, 1 + H * W, C]`.
    """
    rows, columns = (side // self.patch_size for side in self.img_size)
    resized = self.resize_pos_embed(pos_embed, hw_shape, (rows, columns), self.interpolate_mode)
    place = torch.arange(hw_shape[0] * hw_shape[1] + 1, device=pos_embed.device)
    kept = pos_embed[:, place.clamp(max=rows * columns)]
    embeddings = torch.where(place[-1:] == rows * columns, kept, resized)
    result: Tensor = self.drop_after_pos(patched_img + embeddings)
    return result
