"""mmseg's losses under their own names with fixes, and a Dice loss that respects ignored pixels.

Wherever mmseg's losses are correct, these return the same values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import losses as mmseg
from mmseg.models.builder import LOSSES
from mmseg.models.losses.cross_entropy_loss import binary_cross_entropy
from mmseg.models.losses.utils import get_class_weight, weight_reduce_loss
from torch import Tensor, nn
from torch.nn import functional as F


@LOSSES.register_module(force=True)
class CrossEntropyLoss(mmseg.CrossEntropyLoss):
    """mmseg's loss, which with a sigmoid fails on batches without labelled pixels and on weights of several channels.

    With a sigmoid, the weight of a class applies to the pixels of that class, as torch's `pos_weight` does.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.use_sigmoid:
            self.cls_criterion = _binary_cross_entropy


def _binary_cross_entropy(
    pred: Tensor, label: Tensor, weight: Tensor | None = None, class_weight: Tensor | None = None, **rest: Any
) -> Tensor:
    """Return mmseg's binary cross-entropy for logits `[B, C, H, W]` or `[B, C]`."""
    channels = pred.shape[1]
    if channels == 1 and not (label != rest['ignore_index']).any():
        zero = pred.squeeze(1) * 0
        return zero if rest['reduction'] == 'none' else zero.sum()
    if class_weight is not None and channels > 1:
        class_weight = class_weight.view(-1, *[1] * (pred.ndim - 2))  # otherwise it would weight image columns
    loss: Tensor = binary_cross_entropy(pred, label, weight, class_weight=class_weight, **rest)
    return loss


@LOSSES.register_module(force=True)
class LovaszLoss(mmseg.LovaszLoss):
    """mmseg's loss, which is NaN or fails on images with a single labelled pixel or none."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,  # noqa: ARG002  (per pixel; mmseg's loss ignores it too)
        avg_factor: int | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
        **_: Any,
    ) -> Tensor:
        """Return the loss; 0 for images without labelled pixels.

        Args:
            cls_score: float `[B, C, H, W]`, logits.
            label: int64 `[B, H, W]`.
            weight: ignored.
            avg_factor: divisor of the sum instead of the number of images, with `per_image`.
            reduction_override: replaces the loss's own reduction, with `per_image`.
            ignore_index: label that does not count.
        """
        if not self.per_image:
            return self._of_labelled(cls_score, label, ignore_index)
        images = zip(cls_score.split(1), label.split(1), strict=True)
        losses = torch.stack([self._of_labelled(*image, ignore_index) for image in images])
        reduced: Tensor = weight_reduce_loss(losses, None, reduction_override or self.reduction, avg_factor)
        return reduced

    def _of_labelled(self, cls_score: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """Return mmseg's loss for the labelled pixels, passed as one row so that no pixel has to be ignored."""
        labelled = label != ignore_index
        if not labelled.any():
            return cls_score.sum() * 0
        row = cls_score.movedim(1, -1)[labelled].T[None, :, None].contiguous()  # [1, C, 1, P]
        loss: Tensor = super().forward(row, label[labelled][None, None], reduction_override='mean', ignore_index=None)
        return loss


@LOSSES.register_module()
class MaskedDiceLoss(nn.Module):
    """Dice loss (arXiv:1606.04797) of the labelled pixels only, for one channel or several.

    mmseg's `DiceLoss` counts ignored pixels as predicted, and so penalises every prediction there. Without ignored
    pixels, both losses are equal. One channel, which mmseg's loss cannot train, goes through a sigmoid.

    Args:
        smooth: added to numerator and denominator; the loss of a class that is neither labelled nor predicted is 0.
        exponent: of probabilities and labels in the denominator.
        class_weight: one weight per class, or a file of them as in mmseg; for one channel, the weight of class 1.
        loss_weight: factor of the loss.
        ignore_index: label that does not count.
        loss_name: name of the item in the head's loss dict; starts with `loss`.

    Raises:
        ValueError: if `smooth` is not above 0: a class without pixels would have the loss 0 / 0.
    """

    def __init__(
        self,
        smooth: float = 1.0,
        exponent: float = 2.0,
        class_weight: Sequence[float] | str | None = None,
        loss_weight: float = 1.0,
        ignore_index: int = 255,
        loss_name: str = 'loss_dice',
    ) -> None:
        super().__init__()
        if not smooth > 0:
            raise ValueError(f'smooth must be above 0, got {smooth}')
        self.smooth = smooth
        self.exponent = exponent
        self.class_weight = get_class_weight(class_weight)
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.loss_name = loss_name

    def forward(self, logits: Tensor, labels: Tensor, **_: Any) -> Tensor:
        """Return the mean over images and classes.

        Args:
            logits: float `[B, C, ...]`.
            labels: int64 `[B, ...]`.
        """
        counted = labels != self.ignore_index
        channels = logits.shape[1]
        safe = labels.where(counted, 0)
        if channels == 1:
            probabilities, target = logits.sigmoid(), safe[:, None]
        else:
            probabilities, target = logits.softmax(1), F.one_hot(safe, channels).movedim(-1, 1)
        counted = counted[:, None]
        probabilities, target = probabilities * counted, target * counted
        spatial = tuple(range(2, logits.ndim))
        overlap = 2 * (probabilities * target).sum(spatial)
        total = (probabilities**self.exponent + target**self.exponent).sum(spatial)
        losses = 1 - (overlap + self.smooth) / (total + self.smooth)  # [B, C]
        if self.class_weight is not None:
            losses = losses * losses.new_tensor(self.class_weight)
        return losses.mean() * self.loss_weight
