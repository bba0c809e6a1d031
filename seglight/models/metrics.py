"""Segmentation metrics: mmseg's, from a confusion matrix, and boundary IoU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from seglight.batch import without_padding
from seglight.histogram import histogram

#: Metrics with a value per class; their means are named `m` plus the name.
PerClass = Literal['IoU', 'Acc', 'Dice', 'Fscore', 'Precision', 'Recall', 'BoundaryIoU']


def count_confusion(prediction: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count the pixels of each pair of label and prediction.

    Args:
        prediction: predicted class of each pixel, any integer dtype and shape.
        mask: label of each pixel, same shape; `ignore_index` does not count.
        num_classes: number of classes C.
        ignore_index: label in the masks that does not count.

    Returns:
        int64 `[C, C]`: a row for each label, a column for each prediction.
    """
    # Ignored pixels get a row of their own, which is dropped: selecting the other pixels, or counting in
    # int64, takes several times as long.
    narrow = torch.int16 if num_classes * (num_classes + 1) < 2**15 else torch.int32
    pairs = mask.to(narrow).masked_fill_(mask == ignore_index, num_classes).mul_(num_classes).add_(prediction)
    counts = histogram(pairs, num_classes * (num_classes + 1))
    return counts.view(num_classes + 1, num_classes)[:num_classes]


def count_confusions(predictions: Sequence[Tensor], masks: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count the pixels of each pair of label and prediction in each image of a batch.

    Args:
        predictions: predicted class of each pixel, uint8 `[h, w]`, one for each of B images; they may have any size
            up to that of `masks`.
        masks: label of each pixel, uint8 `[B, H, W]`; `ignore_index` in the padding, which therefore does not count.
        num_classes: number of classes C.
        ignore_index: label in the masks that does not count.

    Returns:
        int64 `[B, C, C]`: a row for each label, a column for each prediction.
    """
    if masks.device.type == 'cpu':  # an image at a time stays in the cache
        own = [without_padding(mask, found) for mask, found in zip(masks, predictions, strict=True)]
        pairs = zip(predictions, own, strict=True)
        return torch.stack([count_confusion(found, mask, num_classes, ignore_index) for found, mask in pairs])
    return _count_together(_stacked(predictions, masks), masks, num_classes, ignore_index)


def _count_together(predictions: Tensor, masks: Tensor, num_classes: int, ignore_index: int) -> Tensor:
    """Return the confusion of each image, `[B, C, C]`, from predictions `[B, H, W]`, in a single pass."""
    bins = num_classes * (num_classes + 1)
    pairs = masks.int().masked_fill_(masks == ignore_index, num_classes).mul_(num_classes).add_(predictions)
    pairs += torch.arange(len(masks), device=masks.device, dtype=torch.int32)[:, None, None] * bins
    counts = histogram(pairs, len(masks) * bins)
    return counts.view(len(masks), num_classes + 1, num_classes)[:, :num_classes]


def _stacked(predictions: Sequence[Tensor], masks: Tensor) -> Tensor:
    """Return predictions of any size as one tensor of the shape of `masks`, padded with zeros."""
    if all(found.shape == masks.shape[1:] for found in predictions):
        return torch.stack(list(predictions))
    result = torch.zeros_like(masks)
    for single, found in zip(result, predictions, strict=True):
        single[: len(found), : found.shape[1]] = found
    return result


class SegmentationMetrics(Metric):
    """Counts a confusion matrix on the device and computes mmseg's metrics from it.

    Memory is constant (`num_classes` squared int64, three more rows with `boundary_iou`)
    and the counts are summed across processes, so the metrics are exact for any number of images,
    batches and processes. They equal those of `mmseg.core.evaluation.eval_metrics`.

    Args:
        num_classes: number of classes C.
        ignore_index: label in the masks that does not count.
        boundary_iou: whether to compute boundary IoU (arXiv:2103.16562) too.
    """

    full_state_update = False
    confusion: Tensor
    boundary: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255, boundary_iou: bool = False) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self.boundary_iou = boundary_iou
        zeros = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state('confusion', zeros, dist_reduce_fx='sum')
        if boundary_iou:
            self.add_state('boundary', torch.zeros(3, num_classes, dtype=torch.int64), dist_reduce_fx='sum')

    def update(self, prediction: Tensor, mask: Tensor, confusion: Tensor | None = None) -> None:
        """Add the pixels of one image.

        Args:
            prediction: predicted class of each pixel, any integer dtype, `[H, W]`.
            mask: label of each pixel, same shape; `ignore_index` does not count.
            confusion: their `count_confusion`, if already known.
        """
        if confusion is None:
            confusion = count_confusion(prediction, mask, self.num_classes, self.ignore_index)
        self.confusion += confusion
        if self.boundary_iou:
            self._add_boundary(prediction, mask, mask == self.ignore_index)

    def _add_boundary(self, prediction: Tensor, mask: Tensor, ignored: Tensor) -> None:
        """Add the pixels at the boundaries of predicted regions, of labelled regions, and of both."""
        predicted = at_boundary(prediction) & ~ignored
        labelled = at_boundary(mask, ignored) & ~ignored
        both = predicted & labelled & (prediction == mask)
        for row, (labels, counted) in enumerate(((mask, both), (prediction, predicted), (mask, labelled))):
            only_counted = labels.int().masked_fill_(~counted, self.num_classes)
            self.boundary[row] += histogram(only_counted, self.num_classes + 1)[:-1]

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics, all float64 between 0 and 1, on the CPU.

        Returns:
            `aAcc`, and for each of `PerClass` the mean (`mIoU`, `mAcc`, ...) as a scalar and the values per
            class (`IoU`, `Acc`, ...) of shape `[C]`. A metric that is undefined for a class is NaN and does not
            count in the mean, as in mmseg: all of them if it occurs neither in masks nor in predictions, Acc and Recall
            without it in masks, Precision without it in predictions, and Fscore without a pixel in common. So
            mPrecision and mFscore can rise when a class is no longer predicted.
        """
        # On the host: a single wait for the device, which may lack float64.
        confusion = self.confusion.cpu()
        hits = confusion.diag().double()
        labelled = confusion.sum(1).double()
        predicted = confusion.sum(0).double()
        precision, recall = hits / predicted, hits / labelled
        figures = {
            'IoU': hits / (labelled + predicted - hits),
            'Acc': recall,
            'Dice': 2 * hits / (labelled + predicted),
            'Fscore': 2 * precision * recall / (precision + recall),
            'Precision': precision,
            'Recall': recall,
        }
        if self.boundary_iou:
            both, at_predicted, at_labelled = self.boundary.cpu().double()
            figures['BoundaryIoU'] = both / (at_predicted + at_labelled - both)
        means = {f'm{name}': figure.nanmean() for name, figure in figures.items()}
        return {**means, 'aAcc': hits.sum() / labelled.sum(), **figures}


def at_boundary(labels: Tensor, ignored: Tensor | None = None, share: float = 0.02) -> Tensor:
    """Return which pixels are near the boundary of their class's region.

    Near means a Chebyshev distance of at most `share` of the image's diagonal, as in the boundary IoU of
    arXiv:2103.16562; the image's border is a boundary.

    Args:
        labels: class of each pixel, `[H, W]`.
        ignored: pixels that do not form boundaries, bool `[H, W]`.
        share: maximum distance as a fraction of the diagonal.

    Returns:
        bool `[H, W]`.
    """
    height, width = labels.shape
    distance = max(1, round(share * (height**2 + width**2) ** 0.5))
    values = labels.float()
    for_max = for_min = values
    if ignored is not None:
        for_max, for_min = values.masked_fill(ignored, -1), values.masked_fill(ignored, 256)
    highest = _highest_nearby(for_max, distance)
    lowest = -_highest_nearby(-for_min, distance)
    return (highest != values) | (lowest != values)


def _highest_nearby(values: Tensor, distance: int) -> Tensor:
    """Return the maximum over a square around each pixel; values beyond the border are infinite."""
    padded = F.pad(values[None], (distance,) * 4, value=float('inf'))
    rows = F.max_pool2d(padded, (2 * distance + 1, 1), stride=1)
    return F.max_pool2d(rows, (1, 2 * distance + 1), stride=1)[0]
