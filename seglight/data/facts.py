"""Statistics of a split: label counts of its masks for each source, and images of a single colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seglight.array_types import Ints, UInt8Array


@dataclass
class LabelCounts:
    """The number of pixels and of masks for each label.

    Attributes:
        masks: number of masks read.
        pixels: number of pixels of each label, int64 `[256]`.
        shown: number of masks with each label, int64 `[256]`.
    """

    masks: int = 0
    pixels: Ints = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    shown: Ints = field(default_factory=lambda: np.zeros(256, dtype=np.int64))

    def add(self, pixels: Ints) -> None:
        """Add the pixels of one mask, int64 `[256]`."""
        self.masks += 1
        self.pixels += pixels
        self.shown += pixels > 0

    def share(self, label: int) -> float:
        """Return the share of the pixels with a label, 0 to 1."""
        return float(self.pixels[label]) / max(int(self.pixels.sum()), 1)


@dataclass
class SplitFacts:
    """Statistics of the samples of a split that were read.

    Attributes:
        samples: number of all samples, read or not.
        labels: label counts by the config key of their source.
        images: number of images decoded.
        plain: the decoded images that have a single colour.
    """

    samples: int = 0
    labels: dict[str, LabelCounts] = field(default_factory=dict)
    images: int = 0
    plain: list[Path] = field(default_factory=list)

    def add_mask(self, source: str, pixels: Ints) -> None:
        """Add the pixels of each label of a mask, int64 `[256]`."""
        self.labels.setdefault(source, LabelCounts()).add(pixels)

    def add_image(self, path: Path, plain: bool) -> None:
        """Add an image, which may have a single colour."""
        self.images += 1
        self.plain += [path] * plain

    def total(self) -> LabelCounts:
        """Return the label counts of all sources together."""
        return merged(self.labels.values())


def merged(parts: Iterable[LabelCounts]) -> LabelCounts:
    """Return the sum of label counts."""
    total = LabelCounts()
    for part in parts:
        total.masks += part.masks
        total.pixels = total.pixels + part.pixels
        total.shown = total.shown + part.shown
    return total


def count_labels(mask: UInt8Array) -> Ints:
    """Return the number of pixels of each label, int64 `[256]`.

    Args:
        mask: uint8 `[H, W]`.
    """
    return np.bincount(mask.ravel(), minlength=256)


def is_plain(image: UInt8Array) -> bool:
    """Return whether all pixels have the same colour.

    Args:
        image: uint8 `[H, W, C]`.
    """
    if (image[0] != image[0, 0]).any():  # the first row decides for most images
        return False
    return bool((image == image[0, 0]).all())
