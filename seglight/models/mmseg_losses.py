"""mmseg's losses under their own names without what is wrong in them, and a Dice loss that heeds ignored pixels.

Where mmseg's compute a number at all, these compute the same.
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
    """mmseg's, which with a sigmoid fails on a batch without a labelled pixel, and on weights for several channels.

    With a sigmoid, the weight of a class is that of the pixels that show it, torch's `pos_weight`.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if self.use_sigmoid:
            self.cls_criterion = _binary_cross_entropy


def _binary_cross_entropy(
    pred: Tensor, label: Tensor, weight: Tensor | None = None, class_weight: Tensor | None = None, **rest: Any
) -> Tensor:
    """Return mmseg's binary cross-entropy of logits `[B, C, H, W]` or `[B, C]`."""
    channels = pred.shape[1]
    if channels == 1 and not (label != rest['ignore_index']).any():
        nothing = pred.squeeze(1) * 0
        return nothing if rest['reduction'] == 'none' else nothing.sum()
    if class_weight is not None and channels > 1:
        class_weight = class_weight.view(-1, *[1] * (pred.ndim - 2))  # else it weighs the columns of the image
    loss: Tensor = binary_cross_entropy(pred, label, weight, class_weight=class_weight, **rest)
    return loss


@LOSSES.register_module(force=True)
class LovaszLoss(mmseg.LovaszLoss):
    """mmseg's, which is NaN or fails on images with no labelled pixel, or with a single one."""

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,  # noqa: ARG002  (of pixels, which mmseg's does not heed either)
        avg_factor: int | None = None,
        reduction_override: str | None = None,
        ignore_index: int = 255,
        **_: Any,
    ) -> Tensor:
        """Return the loss; images without a labelled pixel have 0.

        Args:
            cls_score: float `[B, C, H, W]`, logits.
            label: int64 `[B, H, W]`.
            weight: not heeded.
            avg_factor: what the sum is divided by in place of the number of images, with `per_image`.
            reduction_override: in place of the loss' own reduction, with `per_image`.
            ignore_index: label that does not count.
        """
        if not self.per_image:
            return self._of_labelled(cls_score, label, ignore_index)
        images = zip(cls_score.split(1), label.split(1), strict=True)
        losses = torch.stack([self._of_labelled(*image, ignore_index) for image in images])
        reduced: Tensor = weight_reduce_loss(losses, None, reduction_override or self.reduction, avg_factor)
        return reduced

    def _of_labelled(self, cls_score: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        """Return mmseg's loss of the labelled pixels, given as one row, so that it has none to look for."""
        labelled = label != ignore_index
        if not labelled.any():
            return cls_score.sum() * 0
        row = cls_score.movedim(1, -1)[labelled].T[None, :, None].contiguous()  # [1, C, 1, P]
        loss: Tensor = super().forward(row, label[labelled][None, None], reduction_override='mean', ignore_index=None)
        return loss


@LOSSES.register_module()
class MaskedDiceLoss(nn.Module):
    """Dice loss (arXiv:1606.04797) of the labelled pixels alone, for several channels or for one.

    mmseg's `DiceLoss` counts ignored pixels among the predicted ones, and so punishes whatever is predicted there.
    Without ignored pixels both are the same. Of one channel, which mmseg's cannot train, the sigmoid is taken.

    Args:
        smooth: added to numerator and denominator; the loss of a class that is neither labelled nor predicted is 0.
        exponent: of probabilities and labels in the denominator.
        class_weight: a weight for each class, or mmseg's file of them; for one channel that of class 1.
        loss_weight: factor of the loss.
        ignore_index: label that does not count.
        loss_name: name of the item in the head's dict of losses; starts with `loss`.

    Raises:
        ValueError: if `smooth` is not above 0, for which a class without pixels would have the loss 0 / 0.
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
        both = 2 * (probabilities * target).sum(spatial)
        either = (probabilities**self.exponent + target**self.exponent).sum(spatial)
        losses = 1 - (both + self.smooth) / (either + self.smooth)  # [B, C]
        if self.class_weight is not None:
            losses = losses * losses.new_tensor(self.class_weight)
        return losses.mean() * self.loss_weight
