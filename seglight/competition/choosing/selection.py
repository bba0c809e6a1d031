"""Choose the members of an ensemble and the thresholds of its classes.

Members are chosen greedily and with replacement (Caruana et al., "Ensemble Selection from Libraries of Models", 2004).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seglight.competition.choosing.pixels import Pixels
from seglight.models.inference.postprocessing import with_thresholds

#: Maximum of members, and the members that may be added without a gain.
MAX_MEMBERS, PATIENCE = 20, 4

#: Thresholds that are tried for each class.
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)

#: Minimum gain in mIoU of each step of the post-processing, so that it does not follow noise.
MIN_GAIN = 0.0005


def choose_members(pixels: Pixels) -> list[int]:
    """Return the index of each chosen candidate, with repetitions: each maximises the mIoU with those before it.

    The result is the shortest of the sequences with the highest mIoU.
    """
    total = np.zeros(pixels.values[0].shape, dtype=np.uint16)
    chosen: list[int] = []
    scores: list[float] = []
    while len(chosen) < MAX_MEMBERS and len(chosen) - int(np.argmax([0, *scores])) <= PATIENCE:
        gains = [pixels.miou(total + value) for value in pixels.values]
        best = int(np.argmax(gains))
        total += pixels.values[best]
        chosen.append(best)
        scores.append(gains[best])
    return chosen[: int(np.argmax(scores)) + 1]


def choose_thresholds(pixels: Pixels, probabilities: npt.NDArray[np.float32]) -> dict[int, float]:
    """Return thresholds by class, one class after the other; only those that gain at least `MIN_GAIN`.

    Args:
        pixels: the labels.
        probabilities: of the ensemble, float32 `[C, P]`.
    """
    chosen: dict[int, float] = {}
    best = pixels.miou(probabilities)
    for label in range(len(probabilities)):
        tried = {
            threshold: pixels.miou(with_thresholds(probabilities, {**chosen, label: threshold}))
            for threshold in THRESHOLDS
        }
        threshold = max(tried, key=lambda each: tried[each])
        if tried[threshold] >= best + MIN_GAIN:
            chosen[label], best = threshold, tried[threshold]
    return chosen
