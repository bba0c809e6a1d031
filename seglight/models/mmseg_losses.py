"""mmseg's cross-entropy under its own name with fixes, and a Dice loss that respects ignored pixels.

Wherever mmseg's loss is correct, this one returns the same values; but it never waits for the device, whose values
and numbers of labelled pixels mmseg's reads in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import losses as mmseg
from mmseg.models.builder import LOSSES
from mmseg.models.losses.cross_entropy_loss import cross_entropy
from mmseg.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn
from torch.nn import functional as F

from seglight.models.device_weights import DeviceWeights, device_weights


@LOSSES.register_module(force=True)
class CrossEntropyLoss(mmseg.CrossEntropyLoss):
    """mmseg's loss, without waiting for the device, and with fixes for a sigmoid.

    With a sigmoid, mmseg's fails on batches without labelled pixels and on weights of several channels. Here the
    weight of a class applies to the pixels of that class, as torch's `pos_weight` does.
    """

    class_weight = DeviceWeights()

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        if not self.use_mask:
            self.cls_criterion = _binary_cross_entropy if self.use_sigmoid else _cross_entropy

    def forward(
        self,
        cls_score: Tensor,
        label: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int = -100,
        **rest: Any,
    ) -> Tensor:
        """Return mmseg's loss.

        Args:
            cls_score: float `[B, C, ...]`, logits.
            label: int64 `[B, ...]`.
            weight: of each pixel, from a sampler; float `[B, ...]`.
            avg_factor: divisor of the sum instead of the number of pixels.
            reduction_override: replaces the loss's own reduction.
            ignore_index: label that does not count.
            rest: passed on.
        """
        value: Tensor = self.cls_criterion(
            cls_score,
            label,
            weight,
            class_weight=device_weights(self, cls_score),
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
            avg_non_ignore=self.avg_non_ignore,
            ignore_index=ignore_index,
            **rest,
        )
        weighted: Tensor = self.loss_weight * value
        return weighted


def _cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None,
    *,
    reduction: str,
    avg_factor: float | Tensor | None,
    avg_non_ignore: bool,
    ignore_index: int,
    **rest: Any,
) -> Tensor:
    """Return mmseg's cross-entropy; the number of labelled pixels stays on the device."""
    if avg_factor is None and avg_non_ignore and reduction == 'mean':
        avg_factor = (label != ignore_index).sum()
    loss: Tensor = cross_entropy(
        pred, label, weight, reduction=reduction, avg_factor=avg_factor, ignore_index=ignore_index, **rest
    )
    return loss


def _binary_cross_entropy(
    pred: Tensor,
    label: Tensor,
    weight: Tensor | None,
    *,
    class_weight: Tensor | None,
    reduction: str,
    avg_factor: float | Tensor | None,
    avg_non_ignore: bool,
    ignore_index: int,
) -> Tensor:
    """Return mmseg's binary cross-entropy for logits `[B, C]` or `[B, C, H, W]`.

    Labels have no channels, with values 0 and 1 for one channel; or, like the classes in an image for EncNet, those of
    the logits.
    """
    channels, counted = pred.shape[1], (label >= 0) & (label != ignore_index)
    if label.ndim == pred.ndim:
        target = label
    else:
        if pred.ndim == 3:
            raise ValueError('mmseg has no binary cross-entropy of points')
        counted = counted.unsqueeze(1).expand_as(pred)
        target = label.unsqueeze(1).where(counted, 0) if channels == 1 else one_hot(label, channels)
        weight = None if weight is None else weight.unsqueeze(1)
    if class_weight is not None and channels > 1:
        class_weight = class_weight.view(-1, *[1] * (pred.ndim - 2))  # otherwise it would weight image columns
    weights = counted.float() if weight is None else weight * counted
    if avg_factor is None and avg_non_ignore and reduction == 'mean':
        avg_factor = counted.sum()
    loss = F.binary_cross_entropy_with_logits(pred, target.float(), pos_weight=class_weight, reduction='none')
    reduced: Tensor = weight_reduce_loss(loss, weights, reduction, avg_factor)
    return reduced.squeeze(1) if channels == 1 and reduction == 'none' else reduced


@LOSSES.register_module()
class MaskedDiceLoss(nn.Module):
    """Dice loss (arXiv:1606.04797) of the labelled pixels only, for one channel or several.

    mmseg's `DiceLoss` counts ignored pixels as predicted, and so penalises every prediction there. Without ignored
    pixels, both losses are equal. One channel, which mmseg's loss cannot train, goes through a sigmoid.

    Args:
        smooth: added to numerator and denominator; the loss of a class that is neither labelled nor predicted is 0.
        exponent: of probabilities and labels in the denominator.
        class_weight: one weight per class; for one channel, the weight of class 1.
        loss_weight: factor of the loss.
        ignore_index: label that does not count.
        loss_name: name of the item in the head's loss dict; starts with `loss`.

    Raises:
        ValueError: if `smooth` is not above 0: a class without pixels would have the loss 0 / 0.
    """

    class_weight = DeviceWeights()

    def __init__(
        self,
        smooth: float = 1.0,
        exponent: float = 2.0,
        class_weight: Sequence[float] | None = None,
        loss_weight: float = 1.0,
        ignore_index: int = 255,
        loss_name: str = 'loss_dice',
    ) -> None:
        super().__init__()
        if not smooth > 0:
            raise ValueError(f'smooth must be above 0, got {smooth}')
        self.smooth = smooth
        self.exponent = exponent
        self.class_weight = class_weight
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
            probabilities, target = logits.softmax(1), one_hot(safe, channels)
        counted = counted[:, None]
        probabilities, target = probabilities * counted, target * counted
        spatial = tuple(range(2, logits.ndim))
        overlap = 2 * (probabilities * target).sum(spatial)
        total = (probabilities**self.exponent + target**self.exponent).sum(spatial)
        losses = 1 - (overlap + self.smooth) / (total + self.smooth)  # [B, C]
        weights = device_weights(self, losses)
        if weights is not None:
            losses = losses * weights
        return losses.mean() * self.loss_weight


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return which class each label names, bool `[B, C, ...]` for labels `[B, ...]`; none for labels beyond C.

    torch's `one_hot` reads the labels on the host to check them.
    """
    indices = torch.arange(classes, device=labels.device).view(-1, *[1] * (labels.ndim - 1))
    return labels.unsqueeze(1) == indices
