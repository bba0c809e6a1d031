"""From a batch to logits at the original image size: the one place for validation, test and predict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor

Size = tuple[int, int]


def normalize(image: Tensor, mean: Tensor, std: Tensor, sizes: Sequence[Size], padding: Tensor | None = None) -> Tensor:
    """Turn uint8 images into what the backbone takes; padding becomes zeros, as in mmseg.

    Args:
        image: uint8 `[B, 3, H, W]`, RGB, padded at the right and at the bottom.
        mean: float `[3]`, in 0 to 255.
        std: float `[3]`, in 0 to 255.
        sizes: height and width of each image without padding.
        padding: further pixels that are no content, bool `[B, H, W]`.

    Returns:
        float32 `[B, 3, H, W]`.
    """
    result = (image.float() - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    for single, (height, width) in zip(result, sizes, strict=True):
        single[:, height:] = 0
        single[:, :, width:] = 0
    return result if padding is None else result.masked_fill_(padding[:, None], 0)


def image_logits(segmentor: BaseSegmentor, image: Tensor, original_size: Size) -> Tensor:
    """Return logits of images of one size, whole or sliding as the model's `test_cfg` says.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: normalised float `[B, 3, H, W]` without padding.
        original_size: height and width that the logits are resized to.

    Returns:
        float32 `[B, C, *original_size]`; C is 1 for a binary head with a sigmoid.
    """
    shape = (*image.shape[2:], 3)
    meta = [{'ori_shape': (*original_size, 3), 'img_shape': shape, 'pad_shape': shape, 'flip': False}] * len(image)
    sliding = segmentor.test_cfg.get('mode', 'whole') == 'slide'
    infer = segmentor.slide_inference if sliding else segmentor.whole_inference
    logits: Tensor = infer(image, meta, rescale=True)
    return logits.float()


def batch_logits(
    segmentor: BaseSegmentor, image: Tensor, sizes: Sequence[Size], original_sizes: Sequence[Size]
) -> list[Tensor]:
    """Return the logits of each image of a padded batch, independent of what else is in the batch.

    Images of one size go through the segmentor together, without padding.

    Args:
        segmentor: an mmseg segmentor in eval mode.
        image: normalised float `[B, 3, H, W]`, padded at the right and at the bottom.
        sizes: height and width of each image without padding.
        original_sizes: height and width of each file.

    Returns:
        B tensors, float32 `[C, *original_size]`.
    """
    results: list[Tensor] = [torch.empty(0)] * len(sizes)
    pairs = list(zip(sizes, original_sizes, strict=True))
    for pair in dict.fromkeys(pairs):
        members = [index for index, other in enumerate(pairs) if other == pair]
        (height, width), original_size = pair
        logits = image_logits(segmentor, image[members, :, :height, :width], original_size)
        for index, single in zip(members, logits, strict=True):
            results[index] = single
    return results


def predict_mask(segmentor: BaseSegmentor, logits: Tensor) -> Tensor:
    """Return the class of each pixel.

    Args:
        segmentor: the segmentor the logits come from; a binary head brings its threshold.
        logits: float `[C, H, W]`.

    Returns:
        uint8 `[H, W]`.
    """
    binary = logits.shape[0] == 1
    labels: Tensor = logits[0].sigmoid() > segmentor.decode_head.threshold if binary else logits.argmax(0)
    return labels.to(torch.uint8)
