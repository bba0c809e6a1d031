"""albumentations transforms for what mmseg's pipelines do and albumentations does not, or does otherwise.

Parameters are drawn as mmseg 0.30 draws them (`mmseg/datasets/pipelines/transforms.py`); images are RGB. For equal
parameters image and mask are equal to mmseg's, to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]

__all__ = ['CatMaxRatioCrop', 'KeepRatioResize', 'PadTo', 'PhotoMetricDistortion', 'RareClassCrop']


class KeepRatioResize(A.DualTransform):
    """Resize to a scale that is drawn, as mmseg's `Resize`.

    Args:
        img_scale: `[long, short]` edges that the image is fitted into; or a list of them, of which one is drawn
            (`multiscale_mode: value`) or between two of which edges are drawn (`range`). Without it the image's
            own size, times a ratio of `ratio_range`.
        ratio_range: `[min, max]` of a factor on the scale.
        keep_ratio: fit the image into the scale; otherwise the scale is `[width, height]`.
        multiscale_mode: how a list of scales is meant.
        p: probability of the transform.
    """

    def __init__(
        self,
        img_scale: Sequence[int] | Sequence[Sequence[int]] | None = None,
        ratio_range: Sequence[float] | None = None,
        keep_ratio: bool = True,
        multiscale_mode: Literal['range', 'value'] = 'range',
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        single = img_scale is not None and len(img_scale) == 2 and all(isinstance(edge, int) for edge in img_scale)
        self.scales: list[Any] = [] if img_scale is None else [img_scale] if single else list(img_scale)
        if not self.scales and ratio_range is None:
            raise ValueError('needs img_scale, ratio_range or both')
        if any(len(scale) != 2 or min(scale) < 1 for scale in self.scales):
            raise ValueError('img_scale is [long, short] in pixels, or a list of such pairs')
        if ratio_range is not None and (len(self.scales) > 1 or not 0 < ratio_range[0] <= ratio_range[-1]):
            raise ValueError('ratio_range is [min, max] above 0, and goes with one img_scale at most')
        if multiscale_mode not in ('range', 'value'):
            raise ValueError("multiscale_mode is 'range' or 'value'")
        if len(self.scales) > 2 and multiscale_mode == 'range':
            raise ValueError('multiscale_mode range takes two scales; use value')
        self.ratio_range = ratio_range
        self.keep_ratio = keep_ratio
        self.multiscale_mode = multiscale_mode

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the size, `(height, width)`."""
        height, width = params['shape'][:2]
        return {'size': self._size(height, width, *self._scale(height, width))}

    def _scale(self, height: int, width: int) -> tuple[int, int]:
        """Draw a scale."""
        rng = self.random_generator
        if self.ratio_range is not None:
            low, high = self.ratio_range
            ratio = rng.random() * (high - low) + low
            base = self.scales[0] if self.scales else (width, height)
            return int(base[0] * ratio), int(base[1] * ratio)
        if len(self.scales) == 1 or self.multiscale_mode == 'value':
            first, second = self.scales[rng.integers(len(self.scales))]
            return first, second
        long, short = ([pick(scale) for scale in self.scales] for pick in (max, min))
        return int(rng.integers(min(long), max(long) + 1)), int(rng.integers(min(short), max(short) + 1))

    def _size(self, height: int, width: int, first: int, second: int) -> tuple[int, int]:
        """Return the size for a scale, as `mmcv.rescale_size` rounds it."""
        if not self.keep_ratio:
            return second, first
        factor = min(max(first, second) / max(height, width), min(first, second) / min(height, width))
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))

    def apply(self, img: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the image, bilinearly."""
        return _resize(img, size, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the mask to the nearest label."""
        return _resize(mask, size, cv2.INTER_NEAREST)


def _resize(array: UInt8Array, size: tuple[int, int], interpolation: int) -> UInt8Array:
    if array.shape[:2] == size:
        return array
    return np.asarray(cv2.resize(array, (size[1], size[0]), interpolation=interpolation), dtype=np.uint8)


class _Crop(A.DualTransform):
    """A crop; an image that is smaller stays as large as it is in that direction, as in mmseg.

    Args:
        height: of the crop.
        width: of the crop.
        ignore_index: label that does not count; the pipeline gives it.
        p: probability of the transform.
    """

    def __init__(self, height: int, width: int, ignore_index: int = 255, p: float = 1.0) -> None:
        super().__init__(p=p)
        if min(height, width) < 1:
            raise ValueError('height and width are at least 1')
        self.height = height
        self.width = width
        self.ignore_index = ignore_index

    def _draw(self, shape: Sequence[int]) -> tuple[int, int]:
        """Draw the top and the left."""
        return (
            int(self.random_generator.integers(max(shape[0] - self.height, 0) + 1)),
            int(self.random_generator.integers(max(shape[1] - self.width, 0) + 1)),
        )

    def apply(self, img: UInt8Array, top: int, left: int, **_: Any) -> UInt8Array:
        """Crop an image or a mask."""
        return img[top : top + self.height, left : left + self.width]

    apply_to_mask = apply


class CatMaxRatioCrop(_Crop):
    """Crop where no class takes up more than a share, as mmseg's `RandomCrop`: the eleventh try is taken as it is.

    Args:
        height: of the crop.
        width: of the crop.
        cat_max_ratio: highest share of one class in the pixels that count; 1 takes any crop.
        ignore_index: label that does not count; the pipeline gives it.
        p: probability of the transform.
    """

    def __init__(
        self, height: int, width: int, cat_max_ratio: float = 0.75, ignore_index: int = 255, p: float = 1.0
    ) -> None:
        super().__init__(height, width, ignore_index, p)
        if not 0 < cat_max_ratio <= 1:
            raise ValueError('cat_max_ratio is above 0 and at most 1')
        self.cat_max_ratio = cat_max_ratio

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the place."""
        top, left = self._draw(params['shape'])
        if self.cat_max_ratio < 1 and 'mask' in data:
            mask = data['mask']
            # The largest class nearly always decides, and counting one class takes a tenth of the time of counting all.
            sample = np.bincount(mask[::8, ::8].ravel(), minlength=256)
            sample[self.ignore_index] = 0
            largest, ignores = int(sample.argmax()), bool((mask == self.ignore_index).any())
            for _ in range(10):
                if self._is_varied(self.apply(mask, top, left), largest, ignores):
                    break
                top, left = self._draw(params['shape'])
        return {'top': top, 'left': left}

    def _is_varied(self, mask: UInt8Array, largest: int, ignores: bool) -> bool:
        """Tell whether no class has more than its share of the pixels that count, and there are some.

        Args:
            mask: of the crop.
            largest: the class that is likely to have most pixels; any other gives the same result, later.
            ignores: whether some pixels may not count.
        """
        total = mask.size - (np.count_nonzero(mask == self.ignore_index) if ignores else 0)
        count = np.count_nonzero(mask == largest)
        if total == 0 or count / total >= self.cat_max_ratio:
            return False
        if (total - count) / total < self.cat_max_ratio:  # no other class can have more
            return True
        counts = _counts(mask)
        counts[self.ignore_index] = 0
        return bool(counts.max() / total < self.cat_max_ratio)


class RareClassCrop(_Crop):
    """Crop where a rare class is: around a pixel that is drawn among those of one, at any place in the crop.

    The class is drawn among the rare ones that the image shows; without one the crop is anywhere.

    Args:
        height: of the crop.
        width: of the crop.
        classes: labels of the rare classes.
        ignore_index: label that does not count; the pipeline gives it.
        p: probability of the transform.
    """

    def __init__(
        self, height: int, width: int, classes: Sequence[int], ignore_index: int = 255, p: float = 1.0
    ) -> None:
        super().__init__(height, width, ignore_index, p)
        if not classes or min(classes) < 0 or max(classes) > 255:
            raise ValueError('classes is a list of labels from 0 to 255')
        self.classes = list(classes)

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the place."""
        mask = data.get('mask')
        counts = _counts(mask) if mask is not None else np.zeros(256)
        there = [label for label in self.classes if counts[label]]
        if mask is None or not there:
            top, left = self._draw(params['shape'])
            return {'top': top, 'left': left}
        pixels = np.flatnonzero(mask == there[self.random_generator.integers(len(there))])
        row, column = divmod(int(pixels[self.random_generator.integers(len(pixels))]), mask.shape[1])
        return {
            'top': self._around(row, self.height, mask.shape[0]),
            'left': self._around(column, self.width, mask.shape[1]),
        }

    def _around(self, place: int, length: int, edge: int) -> int:
        """Draw where a range of a length begins that holds a place and lies within the edges."""
        first, last = max(place - length + 1, 0), min(place, max(edge - length, 0))
        return int(self.random_generator.integers(first, last + 1))


def _counts(mask: UInt8Array) -> npt.NDArray[np.int64]:
    """Return how many pixels have each of the 256 labels."""
    counts = cv2.calcHist([np.ascontiguousarray(mask)], [0], None, [256], [0, 256])
    return counts.ravel().astype(np.int64)


class PadTo(A.DualTransform):
    """Pad at the right and at the bottom to a size or to multiples of a number, as mmseg's `Pad`.

    Args:
        height: least height of the result.
        width: least width of the result.
        size_divisor: a number that height and width become multiples of.
        fill: value of new pixels of the image; they become zeros after normalisation all the same.
        fill_mask: label of new pixels of the mask; the pipeline gives it.
        p: probability of the transform.
    """

    def __init__(
        self,
        height: int | None = None,
        width: int | None = None,
        size_divisor: int | None = None,
        fill: int = 0,
        fill_mask: int = 255,
        p: float = 1.0,
    ) -> None:
        super().__init__(p=p)
        if (height is None) != (width is None) or (height is None) == (size_divisor is None):
            raise ValueError('needs either height and width, or size_divisor')
        if min(each for each in (height, width, size_divisor) if each is not None) < 1:
            raise ValueError('height, width and size_divisor are at least 1')
        self.height = height
        self.width = width
        self.size_divisor = size_divisor
        self.fill = fill
        self.fill_mask = fill_mask

    def apply(self, img: UInt8Array, **_: Any) -> UInt8Array:
        """Pad the image."""
        return self._padded(img, self.fill)

    def apply_to_mask(self, mask: UInt8Array, **_: Any) -> UInt8Array:
        """Pad the mask."""
        return self._padded(mask, self.fill_mask)

    def _padded(self, array: UInt8Array, value: int) -> UInt8Array:
        height, width = array.shape[:2]
        if self.size_divisor is not None:
            down, right = -height % self.size_divisor, -width % self.size_divisor
        else:
            down, right = max((self.height or 0) - height, 0), max((self.width or 0) - width, 0)
        if not down and not right:
            return array
        border = cv2.copyMakeBorder(array, 0, down, 0, right, cv2.BORDER_CONSTANT, value=[value] * 3)
        return np.asarray(border, dtype=np.uint8)


class PhotoMetricDistortion(A.ImageOnlyTransform):
    """Change brightness, contrast, saturation and hue, each with a probability of a half, as mmseg's of that name.

    mmseg rounds to 8 bits after each step, so each step is a table of 256 values, and steps that follow each other
    in the same colours are one.

    Args:
        brightness_delta: greatest change of all values.
        contrast_range: of the factor on all values.
        saturation_range: of the factor on the saturation.
        hue_delta: greatest change of the hue, in units of two degrees.
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
        self.brightness_delta = brightness_delta
        self.contrast_range = contrast_range
        self.saturation_range = saturation_range
        self.hue_delta = hue_delta

    def get_params(self) -> dict[str, Any]:
        """Draw what is changed; None leaves it."""
        rng = self.random_generator

        def drawn(low: float, high: float) -> float | None:
            return float(rng.uniform(low, high)) if rng.integers(2) else None

        # In mmseg's order, so that equal random numbers make equal images.
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
        before = np.arange(256, dtype=np.uint8)
        if brightness is not None:
            before = _converted(before, 1, brightness)
        if contrast is not None and not contrast_last:
            before = _converted(before, contrast, 0)
        img = _looked_up(img, before)
        # mmseg returns to RGB between saturation and hue, which rounds once more; so does this.
        if saturation is not None:
            img = _in_hsv(img, 1, _converted(np.arange(256, dtype=np.uint8), saturation, 0))
        if hue is not None:
            img = _in_hsv(img, 0, ((np.arange(256) + hue) % 180).astype(np.uint8))
        if contrast is not None and contrast_last:
            img = _looked_up(img, _converted(np.arange(256, dtype=np.uint8), contrast, 0))
        return img


def _converted(values: UInt8Array, alpha: float, beta: float) -> UInt8Array:
    """Multiply and add with clipping, then cut off the fraction."""
    changed: npt.NDArray[np.float32] = values.astype(np.float32) * np.float32(alpha) + np.float32(beta)
    return changed.clip(0, 255).astype(np.uint8)


def _looked_up(image: UInt8Array, table: UInt8Array) -> UInt8Array:
    if (table == np.arange(256)).all():
        return image
    return np.asarray(cv2.LUT(np.ascontiguousarray(image), table), dtype=np.uint8)


def _in_hsv(image: UInt8Array, channel: int, table: UInt8Array) -> UInt8Array:
    """Look up one channel of the image in HSV."""
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), dtype=np.uint8)
