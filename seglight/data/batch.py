"""The batch: the one shape in which data and models meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.nn import functional as F


class ImageMeta(TypedDict):
    """What is known of one image of a batch.

    `path`: the image file. `name`: its path below the image folder, without suffix.
    `original_size`: height and width of the file. `size`: height and width in the batch, without the padding at the
    right and at the bottom.
    """

    path: str
    name: str
    original_size: tuple[int, int]
    size: tuple[int, int]


class Item(TypedDict):
    """One sample: `image` uint8 `[3, H, W]` RGB, `mask` uint8 `[H, W]` or None, `meta`."""

    image: Tensor
    mask: Tensor | None
    meta: ImageMeta


class Batch(TypedDict, total=False):
    """`image` uint8 `[B, 3, H, W]` RGB, `mask` uint8 `[B, H, W]` (absent in predict), `meta` of length B.

    In training the mask has the image's size; in evaluation it has the size of its file. In predict, `failed` says
    what is wrong with each image that had to be left out.
    """

    image: Tensor
    mask: Tensor
    meta: list[ImageMeta]
    failed: list[str]


def collate(items: Sequence[Item], ignore_index: int = 255) -> Batch:
    """Stack samples, padded at the right and at the bottom to the largest: images with 0, masks with ignore."""
    batch: Batch = {'image': _stack([item['image'] for item in items], 0), 'meta': [item['meta'] for item in items]}
    masks = [item['mask'] for item in items if item['mask'] is not None]
    if masks:
        batch['mask'] = _stack(masks, ignore_index)
    return batch


def _stack(tensors: Sequence[Tensor], fill: int) -> Tensor:
    height = max(tensor.shape[-2] for tensor in tensors)
    width = max(tensor.shape[-1] for tensor in tensors)
    if all(tensor.shape[-2:] == (height, width) for tensor in tensors):
        return torch.stack(list(tensors))
    return torch.stack([F.pad(t, (0, width - t.shape[-1], 0, height - t.shape[-2]), value=fill) for t in tensors])
