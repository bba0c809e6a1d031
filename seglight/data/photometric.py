"""mmseg's photometric distortion as an albumentations transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.data.arguments import check_bounds, check_range


class PhotoMetricDistortion(A.ImageOnlyTransform):
    """Change brightness, contrast, saturation and hue, each with probability 0.5, like mmseg's transform.

    mmseg rounds to 8 bits after each step, so each step is a table of 256 values; consecutive steps in the same colour
    space share one table.

    Args:
        brightness_delta: maximum change of all values.
        contrast_range: `[min, max]` of the factor on all values.
        saturation_range: `[min, max]` of the factor on the saturation.
        hue_delta: maximum change of the hue, in units of two degrees.
        p: probability of the transform.
    """

    def __init__(
        self,
        brightness_delta: int = 32,
        contrast_range: Sequence[float] = (0.5, 1.5),
        saturation_range: Sequence[float] = (0.5, 1.5),
        hue_delta: int = 18,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        check_bounds(0, brightness_delta=brightness_delta, hue_delta=hue_delta)
        check_range(0, contrast_range=contrast_range, saturation_range=saturation_range)
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def get_params(self) -> dict[str, Any]:
        """Draw the changes; None for no change."""
        rng = self.random_generator

        def drawn(low: float, high: float) -> float | None:
            return float(rng.uniform(low, high)) if rng.integers(2) else None

        # In mmseg's order, so that equal random numbers give equal images.
        brightness = drawn(-self.brightness_delta, self.brightness_delta)
        contrast_last = not rng.integers(2)
        contrast = None if contrast_last else drawn(*self.contrast_range)
        saturation = drawn(*self.saturation_range)
        hue = int(rng.integers(-self.hue_delta, self.hue_delta)) if rng.integers(2) and self.hue_delta else None
        if contrast_last:
            contrast = drawn(*self.contrast_range)
        return {
            'brightness': brightness,
            'contrast': contrast,
            'contrast_last': contrast_last,
            'saturation': saturation,
            'hue': hue,
        }

    def apply(
        self,
        img: UInt8Array,
        brightness: float | None,
        contrast: float | None,
        contrast_last: bool,
        saturation: float | None,
        hue: int | None,
        **_: Any,
    ) -> UInt8Array:
        """Change the colours of an RGB image."""
        table = np.arange(256, dtype=np.uint8)
        if brightness is not None:
            table = _converted(table, 1, brightness)
        if contrast is not None and not contrast_last:
            table = _converted(table, contrast, 0)
        img = _looked_up(img, table)
        # Like mmseg, return to RGB between saturation and hue, which rounds once more.
        if saturation is not None:
            img = _in_hsv(img, 1, _converted(np.arange(256, dtype=np.uint8), saturation, 0))
        if hue is not None:
            img = _in_hsv(img, 0, ((np.arange(256) + hue) % 180).astype(np.uint8))
        if contrast is not None and contrast_last:
            img = _looked_up(img, _converted(np.arange(256, dtype=np.uint8), contrast, 0))
        return img


def _converted(values: UInt8Array, alpha: float, beta: float) -> UInt8Array:
    """Multiply, add, clip and truncate."""
    changed: npt.NDArray[np.float32] = values.astype(np.float32) * np.float32(alpha) + np.float32(beta)
    return changed.clip(0, 255).astype(np.uint8)


def _looked_up(image: UInt8Array, table: UInt8Array) -> UInt8Array:
    """Look up all values; a table that only adds a constant becomes an addition, which is ten times as fast."""
    values = np.arange(256)
    added = int(table[128]) - 128
    if (table == (values + added).clip(0, 255)).all():
        return image if added == 0 else _shifted(image, added)
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table), dtype=np.uint8)


def _shifted(image: UInt8Array, added: int) -> UInt8Array:
    """Add a number to all values, clipped to 0 and 255."""
    change = cv2.add if added > 0 else cv2.subtract  # adding a negative number is slower
    return np.asarray(change(image, np.full(4, float(abs(added)))), dtype=np.uint8)


def _in_hsv(image: UInt8Array, channel: int, table: UInt8Array) -> UInt8Array:
    """Look up one channel of the image in HSV."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
