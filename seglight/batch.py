"""The batch: the only structure that data and models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import torch
from torch import Tensor


class ImageMeta(TypedDict):
    """Metadata of one image in a batch.

    `path`: the image file. `name`: its path below the image folder, without suffix.
    `original_size`: height and width of the file. `size`: height and width in the batch, excluding the padding at
    the right and at the bottom.
    """

    path: str
    name: str
    original_size: tuple[int, int]
    size: tuple[int, int]


#: The number of a transform that runs on the device, and its drawn parameters.
Draw = tuple[int, dict[str, Any]]


class _Optional(TypedDict, total=False):
    """What a sample may lack.

    `padding` bool `[H, W]`: the pixels that are padding. `draws`: for the transforms that run on the device.
    """

    padding: Tensor
    draws: list[Draw]


class Item(_Optional):
    """One sample: `image` uint8 `[3, H, W]` RGB, `mask` uint8 `[H, W]` or None, `meta`."""

    image: Tensor
    mask: Tensor | None
    meta: ImageMeta


class Failure(NamedTuple):
    """The path of an image that cannot be loaded, and the error message."""

    path: str
    message: str


class Batch(TypedDict, total=False):
    """`image` uint8 `[B, 3, H, W]` RGB, `mask` uint8 `[B, H, W]` (absent in predict), `meta` of length B.

    The image is in torch's channels-last memory format, as it was decoded. In training the mask has the image's
    size; in evaluation it has the size of its file. `padding` bool `[B, H, W]` is present if transforms padded an
    image; these pixels become zero after normalisation, as in mmseg. `draws` of length B is present until the
    transforms that run on the device are applied. In predict, `failed` holds the images that could not be used.
    """

    image: Tensor
    mask: Tensor
    padding: Tensor
    meta: list[ImageMeta]
    draws: list[list[Draw]]
    failed: list[Failure]


def collate(items: Sequence[Item], ignore_index: int = 255) -> Batch:
    """Stack samples, padded at the right and at the bottom to the largest: images with 0, masks with `ignore_index`."""
    # Stacked as [B, H, W, 3], so that images are copied in their own memory layout.
    image = _stack([item['image'].permute(1, 2, 0) for item in items], 0).permute(0, 3, 1, 2)
    batch: Batch = {'image': image, 'meta': [item['meta'] for item in items]}
    masks = [item['mask'] for item in items if item['mask'] is not None]
    if masks:
        batch['mask'] = _stack(masks, ignore_index)
    if any('padding' in item for item in items):
        batch['padding'] = _stack([_padding(item) for item in items], 1)
    if any('draws' in item for item in items):
        batch['draws'] = [item.get('draws', []) for item in items]
    return batch


def _padding(item: Item) -> Tensor:
    """Return which pixels of a sample are padding, bool `[H, W]`."""
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


def without_padding(mask: Tensor, like: Tensor) -> Tensor:
    """Return the part of a mask `[H, W]` in a batch that belongs to its image.

    Args:
        mask: padded at the right and at the bottom by `collate`.
        like: `[h, w]`, of the size of the image's own mask, such as its prediction.
    """
    return mask[: like.shape[0], : like.shape[1]]
