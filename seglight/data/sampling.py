"""The order of training samples, and how often each is seen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt
from torch.utils.data.distributed import DistributedSampler

from seglight.batch import Item
from seglight.data.dataset import SegmentationDataset

FloatArray = npt.NDArray[np.float64]


class EpochSampler(DistributedSampler[Item]):
    """Shuffles by seed and epoch, and tells the dataset the epoch, whenever Lightning sets it.

    torch's `DistributedSampler`, which Lightning leaves in place, also for a single process.

    Args:
        dataset: what is sampled.
        replicas: number of processes.
        rank: index of this one.
        repeats: how often each sample is seen in an epoch, on average, float `[N]`; None for once each. An epoch
            then has as many samples as they add up to, and each is seen as often as its number, rounded up or
            down by chance (systematic sampling). When it is seen again its augmentations are others.
        seed: of the order.
    """

    dataset: SegmentationDataset

    def __init__(
        self, dataset: SegmentationDataset, replicas: int, rank: int, repeats: FloatArray | None = None, seed: int = 42
    ) -> None:
        super().__init__(dataset, replicas, rank, shuffle=True, seed=seed)
        self.repeats = repeats
        self._resumed = (-1, 0)
        if repeats is not None:
            self.num_samples = -(-max(1, round(float(repeats.sum()))) // replicas)
            self.total_size = self.num_samples * replicas

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, of the order and of the augmentations."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)

    def go_on(self, epoch: int, samples: int) -> None:
        """Begin with this epoch, from 0, after the samples of this process that are done; later epochs are whole.

        The length stays that of a whole epoch, as Lightning counts.
        """
        self._resumed = (epoch, samples)
        self.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:  # type: ignore[override]  # torch's own yields indices too
        """Yield the indices of this process that remain; an index beyond the data set is one that is seen again."""
        epoch, samples = self._resumed
        return islice(self._indices(), samples if epoch == self.epoch else 0, None)

    def _indices(self) -> Iterator[int]:
        """Yield the indices of this process in a whole epoch."""
        if self.repeats is None:
            yield from super().__iter__()  # type: ignore[misc]
            return
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.repeats))
        ends = np.cumsum(self.repeats[order])
        ticks = (np.arange(self.total_size) + rng.random()) * (ends[-1] / self.total_size)
        drawn = order[np.minimum(np.searchsorted(ends, ticks, side='right'), len(order) - 1)]
        indices = rng.permutation(_numbered(drawn, len(order)))
        yield from indices[self.rank : self.total_size : self.num_replicas].tolist()


def _numbered(drawn: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Add `count` to an index for each time that it was there before."""
    ordered = np.sort(drawn, kind='stable')
    before = np.arange(len(ordered)) - np.searchsorted(ordered, ordered)
    return ordered + count * before


def class_balance(presence: npt.NDArray[np.bool_], threshold: float) -> FloatArray:
    """Return how often each image is seen so that rare classes are seen more often, float `[N]`, 1 or more.

    The repeat factors of LVIS (arXiv:1908.03195): the square root of `threshold` over the share of the images
    that show a class, and for an image the highest of its classes.

    Args:
        presence: which classes each image shows, bool `[N, C]`.
        threshold: share of the images below which a class is rare.
    """
    share = presence.mean(0)
    factor = np.sqrt(threshold / np.maximum(share, 1e-12))
    highest: FloatArray = np.where(presence, factor, 0).max(1, initial=1)
    return highest
