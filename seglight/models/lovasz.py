"""mmseg's Lovász loss, with fixes, and with at most one wait for the device in a step."""

from __future__ import annotations

from typing import Any

import torch
from mmseg.models import losses as mmseg
from mmseg.models.builder import LOSSES
from mmseg.models.losses.lovasz_loss import lovasz_hinge
from mmseg.models.losses.utils import weight_reduce_loss
from torch import Tensor
from torch.nn import functional as F

from seglight.models.device_weights import DeviceWeights, device_weights


@LOSSES.register_module(force=True)
class LovaszLoss(mmseg.LovaszLoss):  # type: ignore[misc]
    """mmseg's loss, which is NaN or fails on images with a single labelled pixel or none.

    mmseg's waits for the device once per class, image and selection of labelled pixels. This one leaves ignored pixels
    in their place, where they do not count. It reads once which classes are present, since sorting the pixels of absent
    classes would cost more than the wait; with `classes: all`, a list of classes, or `loss_type: binary` it reads
    nothing.
    """

    class_weight = DeviceWeights()

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
        counted = label != ignore_index
        groups = len(label) if self.per_image else 1  # each with its own order of pixels
        scores, labels, counted = (
            each.reshape(groups, -1, *each.shape[1:]) for each in (cls_score, label.where(counted, -1), counted)
        )
        if self.cls_criterion is lovasz_hinge:
            losses = torch.stack([_hinge(*each) for each in zip(scores, labels, counted, strict=True)])
        else:
            losses = self._of_classes(scores.softmax(2), labels, counted)
        if not self.per_image:
            value: Tensor = losses[0]
        else:
            value = weight_reduce_loss(losses, None, reduction_override or self.reduction, avg_factor)
        weighted: Tensor = self.loss_weight * value
        return weighted

    def _of_classes(self, probabilities: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
        """Return the mean over the classes of each group, float `[G]`.

        Args:
            probabilities: float `[G, B, C, H, W]`.
            labels: int64 `[G, B, H, W]`, -1 where they do not count.
            counted: bool, same shape.
        """
        every = range(probabilities.shape[2])
        is_single = len(every) == 1
        if is_single and len(self.classes) > 1:
            raise ValueError('Sigmoid output possible only with 1 class')  # as mmseg
        chosen = [self.classes if isinstance(self.classes, list) else list(every)] * len(labels)
        if self.classes == 'present':
            shown = torch.stack([(labels == index).flatten(1).any(1) for index in every], 1).tolist()
            chosen = [[index for index in every if row[index]] for row in shown]
        weights = device_weights(self, probabilities)
        means = []
        for group, label, where, members in zip(probabilities, labels, counted, chosen, strict=True):
            losses = [_softmax(group[:, 0 if is_single else index], label == index, where) for index in members]
            if weights is not None:
                losses = [loss * weights[index] for loss, index in zip(losses, members, strict=True)]
            means.append(torch.stack(losses).mean() if losses else group.sum() * 0)
        return torch.stack(means)


def _softmax(probabilities: Tensor, foreground: Tensor, counted: Tensor) -> Tensor:
    """Return the loss of a class from the probabilities of its pixels, all of one shape."""
    errors = (foreground.float() - probabilities).abs().masked_fill(~counted, -1)  # so that these are sorted last
    return _extended(errors, foreground)


def _hinge(scores: Tensor, labels: Tensor, counted: Tensor) -> Tensor:
    """Return the binary loss of logits `[B, 1, H, W]` for labels `[B, H, W]`."""
    signs = 2 * labels.float() - 1
    errors = (1 - scores.squeeze(1) * signs).masked_fill(~counted, -torch.inf)
    return _extended(errors, (labels == 1) & counted)


def _extended(errors: Tensor, foreground: Tensor) -> Tensor:
    """Return the Lovász extension of the Jaccard loss; errors below 0 do not count."""
    descending, order = errors.flatten().sort(descending=True)
    hits = foreground.flatten()[order].long()
    total = hits.sum()
    covered = hits.cumsum(0)  # of whole numbers, which is exact and deterministic on any device
    rank = torch.arange(1, len(hits) + 1, device=hits.device)
    jaccard = 1 - (total - covered).float() / (total + rank - covered).float()
    steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(F.relu(descending).float(), steps)
