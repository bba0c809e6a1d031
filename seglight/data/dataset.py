"""Decoded, checked and augmented samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from seglight.array_types import Ints, UInt8Array
from seglight.batch import Item
from seglight.data.cache import SampleCache
from seglight.data.device_transforms import draw
from seglight.data.facts import count_labels
from seglight.data.formats import UnreadableError
from seglight.data.images import read_image
from seglight.data.label_check import LabelCheck
from seglight.data.labels import blending_hint
from seglight.data.mixing import Mix
from seglight.data.orientation import orientation_in
from seglight.data.padding import may_pad, padding_label
from seglight.data.places import read_bytes
from seglight.data.sending import in_shared_memory
from seglight.data.sources.base import Sample, stamp
from seglight.data.sources.columns import Samples
from seglight.data.transforms import apply, transform_for_evaluation
from seglight.data.value_range import ValueRange
from seglight.errors import DataError, warn
from seglight.files import append_once

T = TypeVar('T')

Pair = tuple[UInt8Array, UInt8Array]

DECODED = 2  #: version of the decoding; a change invalidates what older versions cached


class SegmentationDataset(Dataset[Item]):
    """Reads, checks, transforms and mixes samples.

    The randomness of a sample is a function of seed, epoch and index alone: it depends neither on the number of
    workers nor on the samples loaded before.

    Args:
        samples: the files.
        transforms: for image and mask in training, for the image alone in evaluation.
        classes: names of the classes; their number bounds the labels.
        training: whether masks are transformed with their images. In evaluation they keep the size of their
            files, at which predictions are compared, as in mmseg.
        seed: of the augmentations.
        ignore_index: the only valid label besides those of the classes.
        mixes: combine a transformed sample with others, in training.
        on_bad_sample: `error` to raise for a bad file; `skip` to use the next sample instead in training, and to
            ignore it in validation.
        cache: keeps decoded samples.
        value_range: the values that become 0 and 255 in images of more than 8 bits.
        device_transforms: run on the device in training, after the mixes; only their parameters are drawn here.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        transforms: A.Compose,
        classes: Sequence[str],
        training: bool = False,
        seed: int = 42,
        ignore_index: int = 255,
        mixes: Sequence[Mix] = (),
        on_bad_sample: Literal['error', 'skip'] = 'error',
        cache: SampleCache | None = None,
        value_range: ValueRange | None = None,
        device_transforms: A.Compose | None = None,
    ) -> None:
        self.samples = Samples.of(samples)
        self.transforms = transforms
        self.training = training
        self.seed = seed
        self.mixes = mixes
        self.on_bad_sample = on_bad_sample
        # In shared memory, so that persistent workers see the epoch that `set_epoch` sets, and their skipped samples
        # are counted.
        self.epoch = in_shared_memory(torch.zeros((), dtype=torch.int64))
        self.skipped = in_shared_memory(torch.zeros((), dtype=torch.int64))
        #: a file that lists the faults of the skipped samples, once each
        self.left_out: Path | None = None
        self._reported: set[str] = set()
        self.value_range = value_range
        self.device_transforms = device_transforms
        self._cache = cache
        self._classes = classes
        self._ignore_index = ignore_index
        self._padding = padding_label(len(classes), ignore_index)
        self._may_pad = self._padding != ignore_index and (may_pad(transforms) or len(mixes) > 0)
        self._check = LabelCheck(transforms, len(classes), (ignore_index, self._padding))
        self._unknown = np.ones(256, dtype=np.uint8)
        self._unknown[: len(classes)] = 0
        self._unknown[ignore_index] = 0

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, from 0, for the augmentations of the next samples."""
        self.epoch.fill_(epoch)

    def __getitem__(self, index: int) -> Item:
        """Return a sample.

        Args:
            index: of the sample; adding a multiple of the length returns it with other augmentations.

        Raises:
            DataError: if a file is unreadable, the sizes differ, or a label is outside the classes.
        """
        position = index % len(self)
        try:
            return self._load(position, index)
        except _BadSample as bad:
            if self.on_bad_sample == 'error' or self.samples[position].mask is None:
                raise DataError(str(bad)) from bad
            self._report(bad)
            return self._replacement(position, index) if self.training else self._blank(position)

    def _load(self, position: int, index: int) -> Item:
        """Return the sample at a position with the augmentations of an index."""
        image, mask = self._read(position)
        size = (image.shape[0], image.shape[1])
        if mask is None or not self.training:
            stream, path = self._stream(index), str(self.samples[position].image)
            image, content = transform_for_evaluation(self.transforms, image, self._padding, stream, path)
            return self._item(position, size, image, mask, content)
        pair = self._transformed(position, image, mask, (index,))
        for number, mix in enumerate(self.mixes, 1):
            pair = self._mixed(mix, number, pair, index)
        item = self._item(position, size, *pair)
        if self.device_transforms is not None:
            stream = self._stream(index, len(self.mixes) + 1)  # the mixes have the numbers up to this one
            item['draws'] = draw(self.device_transforms, pair[1].shape, stream, item['meta']['path'])
        return item

    def _read(self, position: int) -> tuple[UInt8Array, UInt8Array | None]:
        """Return the image and the mask of a sample, of equal size."""
        sample = self.samples[position]
        decode = partial(self.decode, sample)
        try:
            if self._cache is None:
                return decode()
            labels = '' if sample.mask is None else sample.mask.fingerprint()
            decoded = f'{DECODED} {self.value_range}'
            fingerprint = f'{stamp(sample.image)} {labels} {len(self._classes)} {self._ignore_index} {decoded}'
            return self._cache.read(f'{sample.image.absolute()} {sample.mask}', fingerprint, decode)
        except DataError as error:
            raise _BadSample(str(error)) from error

    def decode(self, sample: Sample) -> tuple[UInt8Array, UInt8Array | None]:
        """Decode and check a sample; return image uint8 `[H, W, 3]` RGB, and mask uint8 `[H, W]` or None.

        Raises:
            DataError: if a file is unreadable, the sizes differ, or a label is outside the classes.
        """
        image = read_image(sample.image, self.value_range)
        mask = None if sample.mask is None else self.read_labels(sample)
        if mask is not None and mask.shape != image.shape[:2]:
            raise DataError(size_mismatch(sample, (image.shape[0], image.shape[1]), (mask.shape[0], mask.shape[1])))
        return image, mask

    def _transformed(self, position: int, image: UInt8Array, mask: UInt8Array | None, stream: tuple[int, ...]) -> Pair:
        """Transform an image with its mask; for a mask of None, return an empty one."""
        targets = {'image': image} if mask is None else {'image': image, 'mask': mask}
        path = str(self.samples[position].image)
        transformed = apply(self.transforms, targets, self._stream(*stream), path)
        if mask is not None:
            self._check(position, mask, transformed['mask'], path)
        return transformed['image'], transformed.get('mask', np.empty((0, 0), np.uint8))

    def _stream(self, *numbers: int) -> tuple[int, ...]:
        """Return the key of a random stream in this epoch.

        Args:
            numbers: the index, and what tells the streams of this index apart. These count from 1: numpy fills a key of
                less than four numbers with zeros, so (1, 2, 3, 0) would be the stream of (1, 2, 3).
        """
        return (self.seed, int(self.epoch), *numbers)

    def _mixed(self, mix: Mix, number: int, pair: Pair, index: int) -> Pair:
        """Combine a transformed sample with others, each transformed with a separate random stream."""
        rng = np.random.default_rng(self._stream(index, number))
        if rng.random() >= mix.p:
            return pair
        partners = []
        for order, position in enumerate(mix.partners(len(self), rng)):
            found, image, mask = self._partner(position)
            partners.append(self._transformed(found, image, mask, (index, number, order)))
        return mix.join(pair, partners, rng, self._padding)

    def _item(
        self,
        position: int,
        original_size: tuple[int, int],
        image: UInt8Array,
        mask: UInt8Array | None,
        size: tuple[int, int] | None = None,
    ) -> Item:
        """Return the tensors and metadata of a sample; `size` is that of the image without padding."""
        sample = self.samples[position]
        item: Item = {
            # A view: the memory layout stays as decoded, which is torch's channels-last format.
            'image': _tensor(image).permute(2, 0, 1),
            'mask': None if mask is None else _tensor(mask),
            'meta': {
                'path': str(sample.image),
                'name': sample.name,
                'original_size': original_size,
                'size': size or (image.shape[0], image.shape[1]),
            },
        }
        if self.training and mask is not None and self._may_pad:
            padding = mask == self._padding
            if np.count_nonzero(padding):
                item['padding'] = torch.from_numpy(padding)
                item['mask'] = _tensor(np.where(padding, np.uint8(self._ignore_index), mask))
        return item

    def _report(self, bad: _BadSample) -> None:
        """Count a skipped sample; the first time, print and list it, once for all processes if there is a list."""
        self.skipped += 1
        if str(bad) in self._reported:
            return
        self._reported.add(str(bad))
        if self.left_out is None or append_once(self.left_out, str(bad)):
            warn_of_left_out([bad])

    def _replacement(self, position: int, index: int) -> Item:
        """Return the first good sample after a bad one."""
        return self._first_good(position + 1, lambda other: self._load(other, index))

    def _partner(self, position: int) -> tuple[int, UInt8Array, UInt8Array | None]:
        """Return the position, the image and the mask of a sample to mix in, or of the first good one after it."""
        if self.on_bad_sample == 'error':
            return position, *self._read(position)
        return self._first_good(position, lambda other: (other, *self._read(other)))

    def _first_good(self, first: int, load: Callable[[int], T]) -> T:
        """Return what a function loads from a position on, and report the bad samples before it."""
        for position in range(first, first + len(self)):
            try:
                return load(position % len(self))
            except _BadSample as bad:
                self._report(bad)
        raise DataError('No sample of the data can be read; `seglight data check` lists what is wrong with each')

    def _blank(self, position: int) -> Item:
        """Return a black image with a fully ignored mask, which changes no metric."""
        side = 64  # large enough for every backbone
        image = np.zeros((side, side, 3), dtype=np.uint8)
        mask = np.full((side, side), self._ignore_index, dtype=np.uint8)
        return self._item(position, (side, side), image, mask)

    def read_labels(self, sample: Sample) -> UInt8Array:
        """Read the mask of a sample that has one, uint8 `[H, W]`.

        Raises:
            DataError: if the file is unreadable or a label is outside the classes.
        """
        if sample.mask is None:
            raise DataError(f'{sample.image} has no mask')
        mask = sample.mask.read()
        # The highest label decides for most masks, and is found faster.
        unknown = cv2.LUT(mask, self._unknown) if mask.max() >= len(self._classes) else None
        if unknown is not None and cv2.countNonZero(unknown):
            raise DataError(self.label_fault(sample, count_labels(mask)) or '')
        return mask

    def label_fault(self, sample: Sample, labels: Ints) -> str | None:
        """Return the message for a mask with labels outside the classes, None if all labels are valid.

        Args:
            sample: that the mask belongs to.
            labels: the number of pixels of each label in it, int64 `[256]`.
        """
        unknown = np.flatnonzero((labels > 0) & (self._unknown > 0))
        if not len(unknown):
            return None
        return (
            f'The mask {sample.mask} has the label {", ".join(map(str, unknown[:5]))}, but data.classes names '
            f'{len(self._classes)} classes (labels 0 to {len(self._classes) - 1}); correct the mask or the classes'
            + (blending_hint(sample.mask.path, labels[unknown], int(labels.sum())) if sample.mask else '')
        )


def _tensor(array: UInt8Array) -> torch.Tensor:
    """Return an array as a tensor; copy it if it is read-only (from the cache) or not contiguous."""
    return torch.from_numpy(array if array.flags.writeable and array.flags.c_contiguous else array.copy())


class _BadSample(Exception):
    """A file of a sample cannot be used."""


def size_mismatch(sample: Sample, image: tuple[int, int], mask: tuple[int, int]) -> str:
    """Return the message for an image and a mask of different `(height, width)`."""
    return (
        f'The mask {sample.mask} is {mask[1]}x{mask[0]} pixels, its image {sample.image} is {image[1]}x{image[0]}; '
        f'both must have the same size{_orientation_hint(sample, image, mask)}'
    )


def _orientation_hint(sample: Sample, image: tuple[int, int], mask: tuple[int, int]) -> str:
    """Return the cure for an image that its EXIF orientation rotates by 90 degrees, unlike its mask; else empty."""
    try:
        is_rotated = image == mask[::-1] and orientation_in(read_bytes(sample.image)) >= 5
    except (OSError, UnreadableError, DataError):
        return ''
    cure = 'rotate the mask, too, or remove the EXIF orientation from the image'
    return f'; the EXIF orientation of the image rotates it by 90 degrees: {cure}' if is_rotated else ''


def warn_of_left_out(faults: Iterable[object]) -> None:
    """Warn of samples that are left out."""
    for fault in faults:
        warn(f'left out: {fault}')
