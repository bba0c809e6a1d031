"""The fingerprint of a training set: sizes of its images, pixels of its classes, and sizes of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import Floats, Ints, UInt8Array
from seglight.cores import cores
from seglight.data.facts import count_labels
from seglight.data.images import image_size
from seglight.data.sources import Sample

#: Maximum number of masks to read, spread evenly over the training set.
MASKS = 500

#: Smallest object in pixels; smaller regions are noise at the borders of labels.
MIN_AREA = 16


@dataclass(frozen=True)
class Fingerprint:
    """What a training set contains.

    Attributes:
        sizes: height and width of each image, int64 `[N, 2]`.
        pixels: number of pixels of each class in the masks that were read, int64 `[M, C]`.
        areas: of each class, the areas of its objects in pixels.
        lengths: of each class, the longer sides of the boxes around its objects.
        repeats: uses of the training set per epoch: the sum of the samples' `repeat` over their number.
    """

    sizes: Ints
    pixels: Ints
    areas: Sequence[Floats]
    lengths: Sequence[Floats]
    repeats: float = 1.0

    @property
    def images(self) -> int:
        """The number of training images."""
        return len(self.sizes)

    @property
    def masks(self) -> int:
        """The number of masks that were read."""
        return len(self.pixels)

    @property
    def size(self) -> tuple[int, int]:
        """The median height and the median width."""
        height, width = np.median(self.sizes, axis=0)
        return int(height), int(width)

    @property
    def presence(self) -> npt.NDArray[np.bool_]:
        """Whether each mask shows each class, bool `[M, C]`."""
        return self.pixels > 0

    @property
    def length(self) -> float:
        """The median of the longer sides of all objects; 0 without objects."""
        lengths = np.concatenate([*self.lengths, np.empty(0)])
        return float(np.median(lengths)) if len(lengths) else 0.0

    def sides(self) -> Floats:
        """Return the median side of the objects of each class, float `[C]`; the side is the root of the area."""
        return np.array([np.median(np.sqrt(areas)) if len(areas) else np.nan for areas in self.areas])


def take(samples: Sequence[Sample], num_classes: int) -> Fingerprint:
    """Return the fingerprint of the training samples, which must be usable.

    Objects are the 8-connected regions of a class with at least `MIN_AREA` pixels.
    """
    read = samples[:: -(-len(samples) // MASKS)]
    with ThreadPoolExecutor(cores()) as pool:
        sizes = list(pool.map(lambda sample: image_size(sample.image), samples))
        masks = list(pool.map(lambda sample: _measure(sample, num_classes), read))
    objects = [np.concatenate([mask[1][label] for mask in masks]) for label in range(num_classes)]
    return Fingerprint(
        np.array(sizes, dtype=np.int64),
        np.array([pixels for pixels, _ in masks], dtype=np.int64),
        [found[:, 0] for found in objects],
        [found[:, 1] for found in objects],
        sum(sample.repeat for sample in samples) / len(samples),
    )


def _measure(sample: Sample, num_classes: int) -> tuple[Ints, list[Floats]]:
    """Return the pixels of each class in a mask, int64 `[C]`, and its objects as by `objects_of`."""
    if sample.mask is None:
        return np.zeros(num_classes, dtype=np.int64), [np.empty((0, 2))] * num_classes
    mask = sample.mask.read()
    pixels = count_labels(mask)[:num_classes]
    return pixels, [objects_of(mask, label) if pixels[label] else np.empty((0, 2)) for label in range(num_classes)]


def objects_of(mask: UInt8Array, label: int) -> Floats:
    """Return the area and the longer side of the box of each object of a class, float `[objects, 2]`.

    Args:
        mask: uint8 `[H, W]`.
        label: of the class.
    """
    _, _, regions, _ = cv2.connectedComponentsWithStats((mask == label).astype(np.uint8), connectivity=8)
    found = regions[1:]  # the first is everything else
    found = found[found[:, cv2.CC_STAT_AREA] >= MIN_AREA]
    longer = found[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1, initial=0)
    result: Floats = np.column_stack([found[:, cv2.CC_STAT_AREA], longer]).astype(np.float64)
    return result
