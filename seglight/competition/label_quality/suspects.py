"""How well labels agree with the probabilities of a model that was not trained on them.

The score of an image is that of Lad and Mueller, "Estimating label quality and errors in semantic segmentation data via
any model" (2023). A pixel is suspect by confident learning (Northcutt, Jiang and Chuang, 2021): the model predicts
another class, and is as sure of it as it is on average of the pixels with that label. Both need one image at a time, of
any size, and leave out ignored pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import Bools, UInt8Array

#: Temperature of the score: the lower, the more it is that of the worst pixels.
TEMPERATURE = 0.1

#: Minimum width of suspect places; the pixels along the outlines of objects are often wrong by less.
WIDTH = 3

#: Minimum of pixels in a region.
MIN_PIXELS = 16

AnyFloats = npt.NDArray[np.floating[Any]]


class Confidence:
    """The mean probability of each class where it is the label: the threshold for a sure prediction.

    Args:
        count: number of classes C.
        ignore_index: label of pixels that are not counted.
    """

    def __init__(self, count: int, ignore_index: int) -> None:
        self.ignore_index = ignore_index
        self.sums = np.zeros(count)
        self.pixels = np.zeros(count, dtype=np.int64)

    def add(self, labels: UInt8Array, probabilities: AnyFloats) -> float:
        """Add an image and return its score, 0 to 1; NaN if all of its pixels are ignored.

        Args:
            labels: uint8 `[H, W]`.
            probabilities: `[C, H, W]`.
        """
        known = labels != self.ignore_index
        own, given = of_labels(labels, probabilities, known)[known], labels[known]
        self.sums += np.bincount(given, own, len(self.sums))
        self.pixels += np.bincount(given, minlength=len(self.sums))
        return softmin(own)

    def thresholds(self) -> npt.NDArray[np.float64]:
        """Return the threshold of each class, float64 `[C]`; infinite for a class that is never the label."""
        means = np.full(len(self.sums), np.inf)
        np.divide(self.sums, self.pixels, out=means, where=self.pixels > 0)
        return means


def of_labels(labels: UInt8Array, probabilities: AnyFloats, known: Bools) -> AnyFloats:
    """Return the probability of each pixel's label `[H, W]`; that of class 0 where it is not known."""
    own: AnyFloats = np.take_along_axis(probabilities, np.where(known, labels, 0)[None].astype(np.intp), 0)[0]
    return own


def softmin(scores: AnyFloats) -> float:
    """Return the mean of scores `[P]` that weighs low ones more, by the softmax of one minus each; NaN for none."""
    if not scores.size:
        return float('nan')
    exact = scores.astype(np.float64)
    weights = np.exp((1 - exact) / TEMPERATURE)
    return float((exact * weights).sum() / weights.sum())


@dataclass(frozen=True)
class Region:
    """A region of an image, 8-connected, of one label and one prediction.

    Attributes:
        given: the label.
        predicted: the class that the model predicts.
        pixels: the number of its pixels.
        weight: the sum over its pixels of how much more probable the prediction is than the label.
        box: left, top, width and height in pixels.
    """

    given: int
    predicted: int
    pixels: int
    weight: float
    box: tuple[int, int, int, int]


def suspect_pixels(
    labels: UInt8Array, probabilities: AnyFloats, thresholds: npt.NDArray[np.float64], ignore_index: int
) -> Bools:
    """Return which pixels have a label that a sure prediction contradicts, in places at least `WIDTH` wide.

    Args:
        labels: uint8 `[H, W]`.
        probabilities: `[C, H, W]`.
        thresholds: see `Confidence`, `[C]`.
        ignore_index: label of pixels that are never suspect.

    Returns:
        bool `[H, W]`.
    """
    predicted = probabilities.argmax(0)
    contradicted = (probabilities.max(0) >= thresholds[predicted]) & (predicted != labels) & (labels != ignore_index)
    opened = cv2.morphologyEx(contradicted.astype(np.uint8), cv2.MORPH_OPEN, np.ones((WIDTH, WIDTH), dtype=np.uint8))
    return np.asarray(opened, dtype=bool)


def suspect_regions(labels: UInt8Array, probabilities: AnyFloats, suspect: Bools) -> Iterator[Region]:
    """Yield the regions of at least `MIN_PIXELS` of suspect pixels.

    Args:
        labels: uint8 `[H, W]`.
        probabilities: `[C, H, W]`.
        suspect: bool `[H, W]`.
    """
    predicted = probabilities.argmax(0)
    margin = probabilities.max(0) - of_labels(labels, probabilities, suspect)
    codes = np.where(suspect, labels.astype(np.int32) * len(probabilities) + predicted, -1)
    for code in np.unique(codes[suspect]).tolist():
        count, numbered, stats, _ = cv2.connectedComponentsWithStats((codes == code).astype(np.uint8), connectivity=8)
        weights = np.bincount(numbered.ravel(), margin.ravel(), count)
        for (left, top, width, height, pixels), weight in zip(stats[1:].tolist(), weights[1:].tolist(), strict=True):
            if pixels >= MIN_PIXELS:
                given, prediction = divmod(code, len(probabilities))
                yield Region(given, prediction, pixels, weight, (left, top, width, height))
