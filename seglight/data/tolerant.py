"""Loading for prediction, where a bad file must not stop the run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from seglight.batch import Batch, Failure, Item, collate
from seglight.data.dataset import SegmentationDataset
from seglight.errors import DataError


class Tolerant(Dataset['Item | Failure']):
    """Returns a `Failure` in place of a sample that cannot be loaded.

    Args:
        dataset: the samples.
    """

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> Item | Failure:
        """Return a sample, or why it cannot be loaded."""
        try:
            return self.dataset[index]
        except DataError as error:
            return Failure(str(self.dataset.samples[index].image), str(error))


def collate_good(items: Sequence[Item | Failure]) -> Batch:
    """Stack the samples that were loaded, possibly none, and list the failures."""
    good = [item for item in items if not isinstance(item, Failure)]
    batch: Batch = collate(good) if good else {'image': torch.empty(0, 3, 1, 1, dtype=torch.uint8), 'meta': []}
    batch['failed'] = [item for item in items if isinstance(item, Failure)]
    return batch
