"""Decoded, checked and augmented samples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import albumentations as A
import numpy as np
import torch
from torch.utils.data import Dataset
from torch.utils.data.distributed import DistributedSampler

from seglight.data.batch import Item
from seglight.data.folders import Sample
from seglight.data.images import UInt8Array, read_image, read_mask
from seglight.errors import DataError, one_line


class SegmentationDataset(Dataset[Item]):
    """Reads, checks and transforms samples.

    The randomness of a sample is a function of seed, epoch and index alone, so that it does not
    depend on the number of workers or on what was loaded before.

    Args:
        samples: the files.
        transforms: applied to image and mask in training, to the image alone in evaluation.
        classes: names of the classes; their number bounds the labels.
        training: whether masks are transformed with their images. In evaluation they stay as they
            are in their files, because predictions are compared at that size, as in mmseg.
        seed: of the augmentations.
        ignore_index: the one label that is allowed beside those of the classes.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transforms: A.Compose,
        classes: Sequence[str],
        training: bool = False,
        seed: int = 42,
        ignore_index: int = 255,
    ) -> None:
        self.samples = samples
        self.transforms = transforms
        self.training = training
        self.seed = seed
        # In shared memory, so that workers that live on see the epoch that `set_epoch` gives.
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._classes = classes
        self._unknown = np.ones(256, dtype=bool)
        self._unknown[: len(classes)] = False
        self._unknown[ignore_index] = False

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, that the augmentations of the next samples belong to."""
        self.epoch.fill_(epoch)

    def __getitem__(self, index: int) -> Item:
        """Return a sample.

        Raises:
            DataError: if a file is unreadable, the sizes differ, or a label is outside the classes.
        """
        sample = self.samples[index]
        image = read_image(sample.image)
        mask = None if sample.mask is None else self.read_labels(sample)
        if mask is not None and mask.shape != image.shape[:2]:
            raise DataError(size_mismatch(sample, (image.shape[0], image.shape[1]), (mask.shape[0], mask.shape[1])))
        original_size = (image.shape[0], image.shape[1])
        self._reseed(index)
        try:
            if mask is not None and self.training:
                transformed = self.transforms(image=image, mask=mask)
                image, mask = transformed['image'], transformed['mask']
            else:
                image = self.transforms(image=image)['image']
        except Exception as error:  # whatever a transform, also one of the user's own, finds wrong
            reason = one_line(error)
            raise DataError(f'The transforms of the config fail on the image {sample.image}: {reason}') from error
        return {
            'image': torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            'mask': None if mask is None else torch.from_numpy(np.array(mask)),
            'meta': {
                'path': str(sample.image),
                'name': sample.name,
                'original_size': original_size,
                'size': (image.shape[0], image.shape[1]),
            },
        }

    def _reseed(self, index: int) -> None:
        """Give all transforms one stream of random numbers.

        `Compose.set_random_seed` would give each transform a stream of its own from the same seed,
        so that they all draw the same numbers; and without any, forked workers share one state.
        """
        entropy = np.random.SeedSequence((self.seed, int(self.epoch), index))
        generator = np.random.default_rng(entropy)
        self.transforms.set_random_state(generator, random.Random(int(entropy.generate_state(1)[0])))

    def read_labels(self, sample: Sample) -> UInt8Array:
        """Read the mask of a sample that has one, uint8 `[H, W]`.

        Raises:
            DataError: if the file is unreadable or a label is outside the classes.
        """
        mask = read_mask(Path(str(sample.mask)))
        unknown = self._unknown[mask]
        if unknown.any():
            labels = ', '.join(str(label) for label in np.unique(mask[unknown])[:5])
            raise DataError(
                f'The mask {sample.mask} has the label {labels}, but data.classes names {len(self._classes)} classes '
                f'(labels 0 to {len(self._classes) - 1}); correct the mask or the classes'
            )
        return mask


class EpochSampler(DistributedSampler[Item]):
    """Shuffles by seed and epoch, and tells the dataset the epoch, whenever Lightning sets it.

    torch's `DistributedSampler`, which Lightning leaves in place, also for a single process.
    """

    dataset: SegmentationDataset

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, of the order and of the augmentations."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)


def size_mismatch(sample: Sample, image: tuple[int, int], mask: tuple[int, int]) -> str:
    """Return the message for an image and a mask of different `(height, width)`."""
    return (
        f'The mask {sample.mask} is {mask[1]}x{mask[0]} pixels, its image {sample.image} is {image[1]}x{image[0]}; '
        'both must have the same size'
    )
