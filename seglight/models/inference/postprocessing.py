"""From class probabilities to a mask with thresholds, without small regions and holes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seglight.array_types import Float32Array, UInt8Array
from seglight.models.inference.logits import both_classes


@dataclass(frozen=True)
class Postprocessing:
    """How a mask follows from probabilities; without any values, each pixel gets the most probable class.

    Attributes:
        thresholds: by class, the probability below which a pixel gets another class that reaches its own threshold,
            if there is one.
        smallest_areas: by class, the pixels below which a region, 8-connected, gets the most probable other classes.
        largest_holes: by class, the pixels up to which a hole, 4-connected, in a region gets the class.
    """

    thresholds: Mapping[int, float] = field(default_factory=dict)
    smallest_areas: Mapping[int, int] = field(default_factory=dict)
    largest_holes: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.thresholds or self.smallest_areas or self.largest_holes)

    def masks(self, probabilities: Tensor) -> Tensor:
        """Return the masks of images, uint8 `[B, H, W]`, on the device of their probabilities.

        Args:
            probabilities: float `[B, C, H, W]`; C is 1 for a binary head with a sigmoid.
        """
        images = both_classes(probabilities).float().cpu().numpy()
        return torch.from_numpy(np.stack([self.mask(image) for image in images])).to(probabilities.device)

    def mask(self, probabilities: Float32Array) -> UInt8Array:
        """Return the mask of an image, uint8 `[H, W]`, from probabilities `[C, H, W]`."""
        scores = with_thresholds(probabilities, self.thresholds)
        mask: UInt8Array = scores.argmax(0).astype(np.uint8)
        for label, area in self.smallest_areas.items():
            chosen = small_regions(mask, label, area)
            mask[chosen] = runners_up(scores, label, chosen)
        for label, area in self.largest_holes.items():
            mask[small_holes(mask, label, area)] = label
        return mask


def with_thresholds(probabilities: Float32Array, thresholds: Mapping[int, float]) -> Float32Array:
    """Return scores `[C, ...]`: probabilities, less 1 where they are below the threshold of their class.

    So a class below its threshold loses to each class that reaches its own, and keeps its rank among those below.
    """
    scores = probabilities.copy() if thresholds else probabilities
    for label, threshold in thresholds.items():
        scores[label] -= probabilities[label] < threshold
    return scores


def runners_up(scores: Float32Array, label: int, chosen: npt.NDArray[np.bool_]) -> UInt8Array:
    """Return the best class apart from `label` of chosen pixels, uint8 `[N]`, from scores `[C, H, W]`."""
    others = scores[:, chosen]
    others[label] = -np.inf
    best: UInt8Array = others.argmax(0).astype(np.uint8)
    return best


def small_regions(mask: UInt8Array, label: int, area: int) -> npt.NDArray[np.bool_]:
    """Return which pixels are in a region of a class with fewer than `area` pixels, bool `[H, W]`."""
    regions, areas = regions_of(mask, label)
    return (areas < area)[regions]


def small_holes(mask: UInt8Array, label: int, area: int) -> npt.NDArray[np.bool_]:
    """Return which pixels are in a hole of a class with at most `area` pixels, bool `[H, W]`."""
    regions, areas = holes_of(mask, label)
    return (areas <= area)[regions]


#: The area of what is not a region or a hole, larger than any.
NONE = np.iinfo(np.int64).max


def regions_of(mask: UInt8Array, label: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the number of each pixel's region of a class, `[H, W]`, and the area of each; `NONE` for number 0."""
    regions, stats = _components(mask == label, 8)
    return regions, stats[:, cv2.CC_STAT_AREA]


def holes_of(mask: UInt8Array, label: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Return the number of each pixel's hole in a class, and the area of each; `NONE` for what reaches the border."""
    holes, stats = _components(mask != label, 4)
    left, top, width, height = (stats[:, at] for at in range(4))
    at_border = (left == 0) | (top == 0) | (left + width == mask.shape[1]) | (top + height == mask.shape[0])
    return holes, np.where(at_border, NONE, stats[:, cv2.CC_STAT_AREA])


def _components(chosen: npt.NDArray[np.bool_], connectivity: int) -> tuple[npt.NDArray[np.int32], Any]:
    """Return the component of each pixel, and OpenCV's statistics of each, with the area `NONE` for number 0."""
    _, components, stats, _ = cv2.connectedComponentsWithStats(chosen.astype(np.uint8), connectivity=connectivity)
    wide = stats.astype(np.int64)
    wide[0, cv2.CC_STAT_AREA] = NONE
    return components.astype(np.int32, copy=False), wide
