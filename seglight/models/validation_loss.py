"""The validation loss: the mean over the images, each on its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torchmetrics import Metric

from seglight.batch import Batch
from seglight.counting import counted
from seglight.errors import warn


class MeanLoss(Metric):
    """The mean of the losses of images, summed on the device.

    torchmetrics' `MeanMetric` waits for the device in each update, to look for NaN.
    """

    full_state_update = False
    sum: Tensor
    count: Tensor
    undefined: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state('sum', torch.zeros(()), dist_reduce_fx='sum')
        self.add_state('count', torch.zeros((), dtype=torch.int64), dist_reduce_fx='sum')
        self.add_state('undefined', torch.zeros((), dtype=torch.int64), dist_reduce_fx='sum')

    def update(self, loss: Tensor, is_labelled: Tensor) -> None:
        """Add the loss of an image.

        Args:
            loss: a scalar; NaN does not count.
            is_labelled: bool scalar, whether the image counts.
        """
        is_undefined = is_labelled & loss.isnan()
        counts = is_labelled & ~is_undefined
        self.sum += torch.where(counts, loss, 0)
        self.count += counts
        self.undefined += is_undefined

    def compute(self) -> Tensor:
        """Return the mean, float32 on the CPU; NaN if no image counts. Report how many losses were NaN."""
        total, count, undefined = torch.stack([self.sum, self.count, self.undefined]).tolist()
        if undefined:
            images = counted(int(undefined), 'image')
            rank_zero_only(warn)(f'the validation loss of {images} is NaN and does not count in the mean')
        return torch.tensor(total / count if count else float('nan'))


def single_images(batch: Batch, ignore_index: int) -> Iterator[tuple[Batch, Tensor]]:
    """Yield each image of a batch on its own and without padding, so that its loss depends on no other image.

    Args:
        batch: a validation batch; masks have the size of their files.
        ignore_index: label that does not count.

    Yields:
        A batch of one image, and whether it has any other label, a bool scalar.
    """
    for index, meta in enumerate(batch['meta']):
        (height, width), (rows, columns) = meta['size'], meta['original_size']
        mask = batch['mask'][index : index + 1, :rows, :columns]
        one: Batch = {'image': batch['image'][index : index + 1, :, :height, :width], 'mask': mask, 'meta': [meta]}
        if 'padding' in batch:
            one['padding'] = batch['padding'][index : index + 1, :height, :width]
        yield one, (mask != ignore_index).any()
