"""mIoU, mAcc and aAcc from a confusion matrix."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


def count_confusion(prediction: Tensor, mask: Tensor, num_classes: int, ignore_index: int = 255) -> Tensor:
    """Count the pixels of each pair of classes.

    Args:
        prediction: predicted class of each pixel, any integer dtype and shape.
        mask: label of each pixel, same shape; `ignore_index` does not count.
        num_classes: number of classes C.
        ignore_index: label in the masks that does not count.

    Returns:
        int64 `[C, C]`: a row for each label, a column for each prediction.
    """
    counted = mask != ignore_index
    pairs = mask[counted].long() * num_classes + prediction[counted].long()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


class SegmentationMetrics(Metric):
    """Counts a confusion matrix on the device and computes mmseg's figures from it.

    Memory is constant (`num_classes` squared int64) and the counts are summed across processes, so
    the figures are exact for any number of images, batches and processes. They equal those of
    `mmseg.core.evaluation.mean_iou`.

    Args:
        num_classes: number of classes C.
        ignore_index: label in the masks that does not count.
    """

    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        zeros = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self.add_state('confusion', zeros, dist_reduce_fx='sum')

    def update(self, prediction: Tensor, mask: Tensor) -> None:
        """Add pixels to the confusion matrix.

        Args:
            prediction: predicted class of each pixel, any integer dtype and shape.
            mask: label of each pixel, same shape; `ignore_index` does not count.
        """
        self.confusion += count_confusion(prediction, mask, self.num_classes, self.ignore_index)

    def compute(self) -> dict[str, Tensor]:
        """Return the figures, all float64 between 0 and 1.

        Returns:
            `mIoU`, `mAcc` and `aAcc` as scalars, `IoU` and `Acc` per class of shape `[C]`. A class
            that occurs neither in masks nor in predictions has NaN and does not count in a mean.
        """
        hits = self.confusion.diag().double()
        labelled = self.confusion.sum(1).double()
        predicted = self.confusion.sum(0).double()
        iou = hits / (labelled + predicted - hits)
        accuracy = hits / labelled
        return {
            'mIoU': iou.nanmean(),
            'mAcc': accuracy.nanmean(),
            'aAcc': hits.sum() / labelled.sum(),
            'IoU': iou,
            'Acc': accuracy,
        }
