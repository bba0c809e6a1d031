"""The images and regions of a training on folds, ranked by how much the out-of-fold predictions contradict them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np

from seglight.array_types import Bools, Float32Array
from seglight.competition.label_quality.suspects import Confidence, Region, suspect_pixels, suspect_regions
from seglight.competition.out_of_fold.predictions import Held, OutOfFold


class Ranked(NamedTuple):
    """An image: its score, 0 to 1, its labelled and its suspect pixels, and its regions, the worst first."""

    held: Held
    score: float
    labelled: int
    suspect: int
    regions: list[Region]


class LabelQuality:
    """The agreement of labels and out-of-fold predictions, whose mean over all models counts.

    Args:
        predictions: the out-of-fold predictions.
    """

    def __init__(self, predictions: OutOfFold) -> None:
        self.predictions = predictions
        self.plan = predictions.plan
        self.ignore_index: int = self.plan.data['ignore_index']
        self._confidence = Confidence(len(self.plan.classes), self.ignore_index)

    def probabilities(self, held: Held) -> Float32Array:
        """Return the mean probabilities of an image, float32 `[C, H, W]`."""
        models = list(self.plan.models)
        total = sum(self.predictions.probabilities(held, model).astype(np.float32) for model in models)
        return np.asarray(total / np.float32(255 * len(models)), dtype=np.float32)

    @cached_property
    def scores(self) -> list[tuple[float, Held]]:
        """The images with labelled pixels and their scores, the lowest first."""
        scored = []
        for held in self.predictions.images:
            score = self._confidence.add(held.mask.read(), self.probabilities(held))
            if not math.isnan(score):
                scored.append((score, held))
        return sorted(scored, key=lambda each: each[0])

    def suspect(self, held: Held, probabilities: Float32Array) -> Bools:
        """Return the suspect pixels of an image, bool `[H, W]`, from its probabilities."""
        _ = self.scores  # the thresholds come from all images
        thresholds = self._confidence.thresholds()
        return suspect_pixels(held.mask.read(), probabilities, thresholds, self.ignore_index)

    def ranked(self) -> Iterator[Ranked]:
        """Yield the images, the one with the lowest score first."""
        for score, held in self.scores:
            labels, probabilities = held.mask.read(), self.probabilities(held)
            suspect = self.suspect(held, probabilities)
            regions = sorted(suspect_regions(labels, probabilities, suspect), key=lambda region: -region.weight)
            yield Ranked(held, score, int((labels != self.ignore_index).sum()), int(suspect.sum()), regions)


def worst_regions(ranked: Iterable[Ranked]) -> list[tuple[Held, Region]]:
    """Return the regions of all images, the worst first."""
    return sorted(((each.held, region) for each in ranked for region in each.regions), key=lambda each: -each[1].weight)


def exchanged(ranked: Iterable[Ranked]) -> list[tuple[tuple[int, int], int]]:
    """Return the label and the prediction of suspect regions with the number of their pixels, the most first."""
    pixels: Counter[tuple[int, int]] = Counter()
    for each in ranked:
        for region in each.regions:
            pixels[region.given, region.predicted] += region.pixels
    return pixels.most_common()
