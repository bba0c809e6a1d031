"""The batch: the one shape in which data and models meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor


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


class _Padded(TypedDict, total=False):
    """`padding` bool `[H, W]`: which pixels of the image are no content; absent where all are."""

    padding: Tensor


class Item(_Padded):
    """One sample: `image` uint8 `[3, H, W]` RGB, `mask` uint8 `[H, W]` or None, `meta`."""

    image: Tensor
    mask: Tensor | None
    meta: ImageMeta


class Failure(NamedTuple):
    """The path of an image that cannot be loaded, and the sentence that says why."""

    path: str
    message: str


class Batch(TypedDict, total=False):
    """`image` uint8 `[B, 3, H, W]` RGB, `mask` uint8 `[B, H, W]` (absent in predict), `meta` of length B.

    The image is in torch's channels-last memory format, as it was decoded. In training the mask has the image's
    size; in evaluation it has the size of its file. `padding` bool `[B, H, W]` is there where transforms made
    pixels that are no content; they become zeros after normalisation, as in mmseg. In predict, `failed` has each
    image that had to be left out.
    """

    image: Tensor
    mask: Tensor
    padding: Tensor
    meta: list[ImageMeta]
    failed: list[Failure]


def collate(items: Sequence[Item], ignore_index: int = 255) -> Batch:
    """Stack samples, padded at the right and at the bottom to the largest: images with 0, masks with ignore."""
    # Stacked as [B, H, W, 3], so that whole images are copied as they lie in memory.
    image = _stack([item['image'].permute(1, 2, 0) for item in items], 0).permute(0, 3, 1, 2)
    batch: Batch = {'image': image, 'meta': [item['meta'] for item in items]}
    masks = [item['mask'] for item in items if item['mask'] is not None]
    if masks:
        batch['mask'] = _stack(masks, ignore_index)
    if any('padding' in item for item in items):
        batch['padding'] = _stack([_padding(item) for item in items], 1)
    return batch


def _padding(item: Item) -> Tensor:
    """Return which pixels of a sample are no content, bool `[H, W]`."""
    return item['padding'] if 'padding' in item else torch.zeros(item['image'].shape[1:], dtype=torch.bool)


def _stack(tensors: Sequence[Tensor], fill: int) -> Tensor:
    """Stack tensors of `[H, W]` or `[H, W, C]`, padded to the largest height and width."""
    height = max(tensor.shape[0] for tensor in tensors)
    width = max(tensor.shape[1] for tensor in tensors)
    if all(tensor.shape[:2] == (height, width) for tensor in tensors):
        return torch.stack(list(tensors))
    result = tensors[0].new_full((len(tensors), height, width, *tensors[0].shape[2:]), fill)
    for single, tensor in zip(result, tensors, strict=True):
        single[: tensor.shape[0], : tensor.shape[1]] = tensor
    return result
