"""The order of training samples, and how often each is used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
from torch.utils.data.distributed import DistributedSampler

from seglight.array_types import Floats
from seglight.batch import Item
from seglight.data.dataset import SegmentationDataset


class EpochSampler(DistributedSampler[Item]):
    """Shuffles by seed and epoch, and passes the epoch that Lightning sets on to the dataset.

    A `DistributedSampler` even for a single process, since Lightning does not replace it.

    Args:
        dataset: the samples.
        replicas: number of processes.
        rank: index of this process.
        repeats: how often each sample is used per epoch, on average, float `[N]`; None for once each. The length of an
            epoch is their sum, and each number is randomly rounded up or down (systematic sampling). Repeated samples
            get different augmentations.
        seed: of the order.
    """

    dataset: SegmentationDataset

    def __init__(
        self, dataset: SegmentationDataset, replicas: int, rank: int, repeats: Floats | None = None, seed: int = 42
    ) -> None:
        super().__init__(dataset, replicas, rank, shuffle=True, seed=seed)
        self.repeats = repeats
        self._resumed = (-1, 0)
        if repeats is not None:
            self.num_samples = -(-max(1, round(float(repeats.sum()))) // replicas)
            self.total_size = self.num_samples * replicas

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, for the order and the augmentations."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)

    def resume(self, epoch: int, samples: int) -> None:
        """Start in this epoch, from 0, after the given number of samples of this process; later epochs are complete.

        The length remains that of a complete epoch, as Lightning expects.
        """
        self._resumed = (epoch, samples)
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # torch's own yields indices too
        """Yield the remaining indices of this process; an index beyond the data set means a repeated sample."""
        epoch, samples = self._resumed
        return islice(self._indices(), samples if epoch == self.epoch else 0, None)

    def _indices(self) -> Iterator[int]:
        """Yield the indices of this process in a complete epoch."""
        if self.repeats is None:
            yield from super().__iter__()  # type: ignore[misc]
            return
        # A spawn key, since numpy fills a short key with zeros: (seed, epoch) is the stream of the image 0.
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(self.epoch,)))
        order = rng.permutation(len(self.repeats))
        ends = np.cumsum(self.repeats[order])
        ticks = (np.arange(self.total_size) + rng.random()) * (ends[-1] / self.total_size)
        drawn = order[np.minimum(np.searchsorted(ends, ticks, side='right'), len(order) - 1)]
        indices = rng.permutation(_numbered(drawn, len(order)))
        yield from indices[self.rank : self.total_size : self.num_replicas].tolist()


def _numbered(drawn: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Add `count` to an index for each earlier occurrence of it."""
    ordered = np.sort(drawn, kind='stable')
    earlier = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return ordered + count * earlier


def class_balance(presence: npt.NDArray[np.bool_], threshold: float) -> Floats:
    """Return repeat factors that oversample images of rare classes, float `[N]`, at least 1.

    As for LVIS (arXiv:1908.03195): the factor of a class is the square root of `threshold` over the share of images
    that show it; the factor of an image is the highest of its classes.

    Args:
        presence: whether each image shows each class, bool `[N, C]`.
        threshold: share of the images below which a class is rare.
    """
    share = presence.mean(0)
    factor = np.sqrt(threshold / np.maximum(share, 1e-12))
    highest: Floats = np.where(presence, factor, 0).max(1, initial=1)
    return highest
