"""A sample of the pixels of out-of-fold predictions, small enough to stay in memory while an ensemble is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.competition.out_of_fold.predictions import OutOfFold, confusion
from seglight.report.evaluation import class_iou, mean_known

#: Maximum of pixels in the sample: every n-th of each image in both directions.
MAX_PIXELS = 2_000_000

#: A label that no class has, since there are at most 255.
UNUSED = 255


class Candidate(NamedTuple):
    """A possible member of an ensemble: a model, and the name of its views."""

    model: str
    views: str

    def __str__(self) -> str:
        return f'{self.model} ({self.views})'


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels with the probabilities of each candidate.

    Attributes:
        labels: label of each of P pixels, uint8 `[P]`; none is ignored.
        folds: fold of each, from 1, uint16 `[P]`.
        values: the probabilities times 255 of each candidate, uint8 `[C, P]`.
    """

    labels: UInt8Array
    folds: npt.NDArray[np.uint16]
    values: Sequence[UInt8Array]

    def of(self, folds: Sequence[int]) -> Pixels:
        """Return the pixels of some folds."""
        kept = np.isin(self.folds, list(folds))
        return Pixels(self.labels[kept], self.folds[kept], [value[:, kept] for value in self.values])

    def miou(self, scores: npt.NDArray[Any]) -> float:
        """Return the mIoU of the classes with the highest scores, `[C, P]`; the first of equal ones wins."""
        counts = confusion(self.labels, highest_row(scores), len(scores), UNUSED)
        return mean_known(class_iou(counts))


def highest_row(scores: npt.NDArray[Any]) -> UInt8Array:
    """Return the row of the maximum of each column, uint8 `[P]`; several times as fast as `argmax(0)`."""
    best, rows = scores[0].copy(), np.zeros(scores.shape[1], dtype=np.uint8)
    for row, values in enumerate(scores[1:], start=1):
        higher = values > best
        rows[higher] = row
        np.maximum(best, values, out=best)
    return rows


def sample_pixels(predictions: OutOfFold, candidates: Sequence[Candidate]) -> Pixels:
    """Return the sample of all images."""
    sizes = [held.mask.size() for held in predictions.images]
    step = max(1, math.ceil(math.sqrt(sum(height * width for height, width in sizes) / MAX_PIXELS)))
    labels: list[UInt8Array] = []
    folds: list[npt.NDArray[np.uint16]] = []
    values: list[list[UInt8Array]] = [[] for _ in candidates]
    for held in predictions.images:
        own = held.mask.read()[::step, ::step]
        known = own != predictions.plan.data['ignore_index']
        labels.append(own[known])
        folds.append(np.full(int(known.sum()), held.fold, dtype=np.uint16))
        for parts, candidate in zip(values, candidates, strict=True):
            parts.append(predictions.probabilities(held, *candidate)[:, ::step, ::step][:, known])
    return Pixels(np.concatenate(labels), np.concatenate(folds), [np.concatenate(parts, 1) for parts in values])
