"""The confidence from which the predictions of each class are precise enough to be labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from seglight.competition.choosing.pixels import Pixels, highest_row

#: Minimum of pixels by which a precision is known.
MIN_PIXELS = 100

#: Values of a probability rounded to 1/255.
LEVELS = 256


class Counts(NamedTuple):
    """The pixels of each predicted class that are at least as probable as each level, and the right ones of them.

    Attributes:
        all: int64 `[C, 256]`.
        right: int64 `[C, 256]`.
    """

    all: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]

    @property
    def precision(self) -> npt.NDArray[np.float64]:
        """The share of right pixels, float64 `[C, 256]`; zero where too few pixels are as probable."""
        known = self.all >= MIN_PIXELS
        return np.where(known, self.right / np.maximum(self.all, 1), 0.0)


def count_precise(pixels: Pixels, members: Mapping[int, int]) -> Counts:
    """Count what an ensemble predicts, by class and probability.

    Args:
        pixels: labelled pixels with the probabilities of each candidate.
        members: the weight of each member, by its index among the candidates.
    """
    weight = sum(members.values())
    total: Any = sum(np.int32(count) * pixels.values[index] for index, count in members.items())
    rows = highest_row(total)
    levels = (2 * total.max(0) + weight) // (2 * weight)  # rounded, as the probabilities of each member are
    shape = len(total), LEVELS
    cells = np.ravel_multi_index((rows, levels), shape)
    counts = [np.bincount(each, minlength=shape[0] * LEVELS) for each in (cells, cells[rows == pixels.labels])]
    return Counts(*(np.cumsum(each.reshape(shape)[:, ::-1], 1)[:, ::-1] for each in counts))


def choose_confidence(counts: Counts, precision: float) -> dict[int, float]:
    """Return the lowest probability of each class from which its predictions have a precision.

    Args:
        counts: of an ensemble.
        precision: 0 to 1.

    Returns:
        By label; without the classes that never have this precision, by at least `MIN_PIXELS` pixels.
    """
    enough = (counts.all >= MIN_PIXELS) & (counts.precision >= precision)
    return {
        label: max(0.0, (int(np.argmax(row)) - 0.5) / (LEVELS - 1)) for label, row in enumerate(enough) if row.any()
    }


def kept_pixels(counts: Counts, confidence: Mapping[int, float]) -> tuple[float, float]:
    """Return the share of pixels that a confidence keeps, and that of right ones among them, NaN if there are none.

    Args:
        counts: of an ensemble, of pixels on which the confidence was not chosen.
        confidence: by label.
    """
    levels = {label: round(value * (LEVELS - 1) + 0.5) for label, value in confidence.items()}
    kept, right = (sum(int(each[label, level]) for label, level in levels.items()) for each in counts)
    total = int(counts.all[:, 0].sum())
    return kept / total if total else 0.0, right / kept if kept else float('nan')
