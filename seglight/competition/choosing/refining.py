"""Choose the smallest areas of regions and the largest holes, from what each would change on its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from seglight.array_types import Float32Array, UInt8Array
from seglight.competition.choosing.selection import MIN_GAIN
from seglight.competition.out_of_fold.predictions import confusion
from seglight.models.inference.postprocessing import holes_of, regions_of, runners_up
from seglight.report.evaluation import Counts, class_iou, mean_known

#: Areas in pixels that are tried for each class.
AREAS = (16, 64, 256, 1024)

Pixels = npt.NDArray[np.bool_]


class Changes:
    """The confusion of masks, and its change by each area of each class.

    Args:
        count: number of classes C.
        ignore_index: label of pixels that are not counted.
    """

    def __init__(self, count: int, ignore_index: int) -> None:
        self.count = count
        self.ignore_index = ignore_index
        self.confusion: Counts = np.zeros((count, count), dtype=np.int64)
        #: By kind, class and area, int64 `[C, C]`.
        self.changes: dict[tuple[str, int, int], Counts] = {}

    def add(self, labels: UInt8Array, scores: Float32Array) -> None:
        """Add an image.

        Args:
            labels: uint8 `[H, W]`.
            scores: `[C, H, W]`, the highest of which is the prediction.
        """
        mask = scores.argmax(0).astype(np.uint8)
        everywhere = np.ones(mask.shape, dtype=bool)
        self.confusion += self._counts(labels, mask, everywhere)
        for label in np.unique(mask).tolist():
            for kind, area, pixels in _changed(mask, label):
                new = mask.copy()
                new[pixels] = runners_up(scores, label, pixels) if kind == 'smallest' else label
                change = self._counts(labels, new, pixels) - self._counts(labels, mask, pixels)
                key = kind, label, area
                self.changes[key] = change + self.changes[key] if key in self.changes else change

    def _counts(self, labels: UInt8Array, mask: UInt8Array, pixels: Pixels) -> Counts:
        """Return the confusion of some pixels."""
        return confusion(labels[pixels], mask[pixels], self.count, self.ignore_index)

    def best(self, kind: str) -> dict[int, int]:
        """Return the area of each class with the highest mIoU, if it gains at least `MIN_GAIN` on its own."""
        minimum = mean_known(class_iou(self.confusion)) + MIN_GAIN
        chosen: dict[int, tuple[float, int]] = {}
        for (own, label, area), change in self.changes.items():
            score = mean_known(class_iou(self.confusion + change))
            if own == kind and score >= minimum and score > chosen.get(label, (0.0, 0))[0]:
                chosen[label] = score, area
        return {label: area for label, (_, area) in sorted(chosen.items())}


def _changed(mask: UInt8Array, label: int) -> Iterator[tuple[str, int, Pixels]]:
    """Yield the kind, the area, and the pixels that it changes, for each that changes any."""
    regions, sizes = regions_of(mask, label)
    holes, hole_sizes = holes_of(mask, label)
    for area in AREAS:
        if (sizes < area).any():
            yield 'smallest', area, (sizes < area)[regions]
        if (hole_sizes <= area).any():
            yield 'holes', area, (hole_sizes <= area)[holes]
