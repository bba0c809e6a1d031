"""Targets and logits of models that classify masks: MaskFormer, Mask2Former and EoMT."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.array_types import Size


def targets(labels: Tensor, ignore_index: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the masks that a model must find: one for each class of an image. Ignored pixels are in none.

    Source: `MaskFormerImageProcessor.encode_inputs` of transformers.

    Args:
        labels: int64 `[B, H, W]`.
        ignore_index: label that is no class.

    Returns:
        For each image, masks float32 `[N, H, W]` and their classes int64 `[N]`.
    """
    classes = [found[found != ignore_index] for found in (label.unique() for label in labels)]
    masks = [(label == found[:, None, None]).float() for label, found in zip(labels, classes, strict=True)]
    return masks, classes


def pixel_logits(class_logits: Tensor, mask_logits: Tensor, between: Size | None, size: Size) -> Tensor:
    """Return logits for each pixel: the logarithm of each class's score, which its queries' masks sum to.

    The class of the highest logit is that of transformers' `post_process_semantic_segmentation`.

    Args:
        class_logits: float `[B, Q, C + 1]`; the last stands for no class.
        mask_logits: float `[B, Q, h, w]`.
        between: size that masks are resized to before they are summed; None for their own.
        size: height and width of the result.

    Returns:
        float32 `[B, C, *size]`.
    """
    if between is not None:
        mask_logits = F.interpolate(mask_logits, between, mode='bilinear', align_corners=False)
    classes, masks = class_logits.float().softmax(-1)[..., :-1], mask_logits.float().sigmoid()
    scores = torch.einsum('bqc,bqhw->bchw', classes, masks)
    scores = F.interpolate(scores, size, mode='bilinear', align_corners=False)
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def size_between(config: Any) -> Size | None:
    """Return the size that transformers resizes a model's masks to before it sums them; None for their own size."""
    if config.model_type == 'mask2former':
        return 384, 384  # whatever the size of the image
    return image_size(config) if config.model_type.startswith('eomt') else None


def check_size(config: Any, size: Size) -> None:
    """Refuse a size whose patches an EoMT would take for those of other places, without an error of its own.

    Its position embeddings broadcast to a single patch, and fit any grid with as many patches as its own.

    Raises:
        ValueError: names both sizes.
    """
    fixed = image_size(config)
    if config.model_type.startswith('eomt') and fixed is not None and size != fixed:
        raise ValueError(f'{config.model_type} must get images of {fixed[1]}x{fixed[0]}, got {size[1]}x{size[0]}')


def image_size(config: Any) -> Size | None:
    """Return height and width of the images for which a configuration has position embeddings, None without any."""
    size = getattr(config, 'image_size', None)
    if isinstance(size, int):
        return size, size
    return (int(size[0]), int(size[1])) if isinstance(size, (list, tuple)) and len(size) == 2 else None
