"""MobileViT's patches of feature maps that are always resized: to their own size if need be, which changes nothing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from seglight.exporting.sizes import parts


def unfolded(self: Any, features: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """Do what `unfolding` of transformers' `MobileViTLayer` does, without comparing sizes.

    Args:
        self: the layer.
        features: `[B, C, H, W]`.

    Returns:
        The pixels at each place of a patch of all patches, `[B * places, patches, C]`, and what `folding` needs.
    """
    count, channels, height, width = features.shape
    high, wide = self.patch_height, self.patch_width
    rows, columns = parts(height, high), parts(width, wide)
    image = F.interpolate(features, (rows * high, columns * wide), mode='bilinear', align_corners=False)
    grid = image.view(count, channels, rows, high, columns, wide).permute(0, 3, 5, 2, 4, 1)
    return grid.reshape(count * high * wide, rows * columns, channels), {
        'orig_size': (height, width),
        'batch_size': count,
        'channels': channels,
        'interpolate': True,
        'num_patches': rows * columns,
        'num_patches_width': columns,
        'num_patches_height': rows,
    }
