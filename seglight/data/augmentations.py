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

from seglight.array_types import UInt8Array
from seglight.config.settings import nearest
from seglight.data.arguments import check_bounds, check_range, is_list, is_whole
from seglight.data.photometric import PhotoMetricDistortion

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
        self.scales = _scales(img_scale)
        if not self.scales and ratio_range is None:
            raise ValueError('needs img_scale, ratio_range or both')
        if ratio_range is not None:
            check_range(0, ratio_range=ratio_range)
            if len(self.scales) > 1 or ratio_range[0] == 0:
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
            return max(1, int(base[0] * ratio)), max(1, int(base[1] * ratio))
        if len(self.scales) == 1 or self.multiscale_mode == 'value':
            first, second = self.scales[rng.integers(len(self.scales))]
            return first, second
        long, short = ([pick(scale) for scale in self.scales] for pick in (max, min))
        return int(rng.integers(min(long), max(long) + 1)), int(rng.integers(min(short), max(short) + 1))

    def _size(self, height: int, width: int, first: int, second: int) -> tuple[int, int]:
        """Return the size for a scale, as `mmcv.rescale_size` rounds it."""
        if not self.keep_ratio:
            return max(1, second), max(1, first)
        factor = min(max(first, second) / max(height, width), min(first, second) / min(height, width))
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))

    def apply(self, img: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the image, bilinearly."""
        return _resize(img, size, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the mask to the nearest label."""
        return _resize(mask, size, cv2.INTER_NEAREST)


def _scales(img_scale: Any) -> list[Sequence[int]]:
    """Return the scales that `img_scale` means: one, several or none."""
    if img_scale is None:
        return []
    many = is_list(img_scale) and len(img_scale) > 0 and all(is_list(each) for each in img_scale)
    scales = list(img_scale) if many else [img_scale]
    for scale in scales:
        if not is_list(scale) or len(scale) != 2 or not all(is_whole(edge) and edge > 0 for edge in scale):
            raise ValueError(f'img_scale must be [long, short] in pixels, or a list of such pairs, got {img_scale!r}')
    return scales


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
        check_bounds(1, height=height, width=width)
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
        check_bounds(0, 1, cat_max_ratio=cat_max_ratio)
        if cat_max_ratio == 0:
            raise ValueError('cat_max_ratio is above 0')
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
        classes: names or labels of the rare classes.
        ignore_index: label that does not count; the pipeline gives it.
        class_names: names of all classes; the pipeline gives them.
        p: probability of the transform.
    """

    def __init__(
        self,
        height: int,
        width: int,
        classes: Sequence[int | str],
        ignore_index: int = 255,
        class_names: Sequence[str] = (),
        p: float = 1.0,
    ) -> None:
        super().__init__(height, width, ignore_index, p)
        if not is_list(classes) or not classes:
            raise ValueError(f'classes must be a list of names or labels in data.classes, got {classes!r}')
        self.classes = [_label(each, class_names) for each in classes]

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


def _label(given: Any, class_names: Sequence[str]) -> int:
    """Return the label of a class that is given by its name or its label."""
    if isinstance(given, str) and given in class_names:
        return list(class_names).index(given)
    last = len(class_names) - 1 if class_names else 255
    if not is_whole(given) or not 0 <= given <= last:
        near = nearest(given, class_names) if isinstance(given, str) else ''
        raise ValueError(f'classes: {given!r} is neither the name of a class nor a label from 0 to {last}{near}')
    return int(given)


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
        sizes = {'height': height, 'width': width, 'size_divisor': size_divisor}
        check_bounds(1, **{name: size for name, size in sizes.items() if size is not None})
        check_bounds(0, 255, fill=fill, fill_mask=fill_mask)
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
