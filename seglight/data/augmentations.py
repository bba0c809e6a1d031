"""mmseg's transforms that albumentations lacks or implements differently, as albumentations transforms.

Parameters are drawn as in mmseg 0.30 (`mmseg/datasets/pipelines/transforms.py`); images are RGB. For equal parameters,
image and mask are bitwise equal to mmseg's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.data.arguments import check_bounds, check_range, is_list, is_whole
from seglight.data.photometric import PhotoMetricDistortion
from seglight.similar import nearest

__all__ = ['CatMaxRatioCrop', 'KeepRatioResize', 'PadTo', 'PhotoMetricDistortion', 'RareClassCrop']


class KeepRatioResize(A.DualTransform):
    """Resize to a random scale, like mmseg's `Resize`.

    Args:
        img_scale: `[long, short]` edges to fit the image into; or a list of such pairs. By default the size of the
            image itself, which then needs `ratio_range`.
        ratio_range: `[min, max]` of a random factor on the scale.
        keep_ratio: whether to keep the aspect ratio; otherwise the scale is `[width, height]`.
        multiscale_mode: how to use a list of scales: pick one (`value`), or draw edges between two (`range`).
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
                raise ValueError('ratio_range must be [min, max] above 0, with at most one img_scale')
        if len(self.scales) > 2 and multiscale_mode == 'range':
            raise ValueError(f'multiscale_mode range takes two scales, got {len(self.scales)}; use value')
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
        """Return the size for a scale, rounded like `mmcv.rescale_size`."""
        if not self.keep_ratio:
            return max(1, second), max(1, first)
        factor = min(max(first, second) / max(height, width), min(first, second) / min(height, width))
        return max(1, int(height * factor + 0.5)), max(1, int(width * factor + 0.5))

    def apply(self, img: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the image by bilinear interpolation."""
        return _resize(img, size, cv2.INTER_LINEAR)

    def apply_to_mask(self, mask: UInt8Array, size: tuple[int, int], **_: Any) -> UInt8Array:
        """Resize the mask by nearest neighbour."""
        return _resize(mask, size, cv2.INTER_NEAREST)


def _scales(img_scale: Any) -> list[Sequence[int]]:
    """Return `img_scale` as a list of scales."""
    if img_scale is None:
        return []
    is_nested = is_list(img_scale) and len(img_scale) > 0 and all(is_list(each) for each in img_scale)
    scales = list(img_scale) if is_nested else [img_scale]
    for scale in scales:
        if not is_list(scale) or len(scale) != 2 or not all(is_whole(edge) and edge > 0 for edge in scale):
            raise ValueError(f'img_scale must be [long, short] in pixels, or a list of such pairs, got {img_scale!r}')
    return scales


def _resize(array: UInt8Array, size: tuple[int, int], interpolation: int) -> UInt8Array:
    if array.shape[:2] == size:
        return array
    return np.asarray(cv2.resize(array, (size[1], size[0]), interpolation=interpolation), dtype=np.uint8)


class _Crop(A.DualTransform):
    """A crop; like in mmseg, an edge that is shorter than the crop keeps its length.

    Args:
        height: of the crop.
        width: of the crop.
        ignore_index: label of ignored pixels; set by the pipeline.
        p: probability of the transform.
    """

    def __init__(self, height: int, width: int, ignore_index: int = 255, p: float = 1.0) -> None:
        super().__init__(p=p)
        check_bounds(1, height=height, width=width)
        self.height = height
        self.width = width
        self.ignore_index = ignore_index

    def _draw(self, shape: Sequence[int]) -> tuple[int, int]:
        """Draw the top and left edge."""
        return (
            int(self.random_generator.integers(max(shape[0] - self.height, 0) + 1)),
            int(self.random_generator.integers(max(shape[1] - self.width, 0) + 1)),
        )

    def apply(self, img: UInt8Array, top: int, left: int, **_: Any) -> UInt8Array:
        """Crop an image or a mask."""
        return img[top : top + self.height, left : left + self.width]

    apply_to_mask = apply


class CatMaxRatioCrop(_Crop):
    """Crop where no class dominates, like mmseg's `RandomCrop`; after ten rejected crops the next one is used.

    Args:
        height: of the crop.
        width: of the crop.
        cat_max_ratio: upper limit for the share of one class in the labelled pixels; 1 accepts any crop.
        ignore_index: label of ignored pixels; set by the pipeline.
        padding_label: label of padding; set by the pipeline.
        p: probability of the transform.
    """

    def __init__(
        self,
        height: int,
        width: int,
        cat_max_ratio: float = 0.75,
        ignore_index: int = 255,
        padding_label: int = 255,
        p: float = 1.0,
    ) -> None:
        super().__init__(height, width, ignore_index, p)
        check_bounds(0, 1, cat_max_ratio=cat_max_ratio)
        if cat_max_ratio == 0:
            raise ValueError('cat_max_ratio must be above 0, got 0')
        self.cat_max_ratio = cat_max_ratio
        self.unlabelled = sorted({ignore_index, padding_label})

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the position."""
        top, left = self._draw(params['shape'])
        if self.cat_max_ratio < 1 and 'mask' in data:
            mask = data['mask']
            # The largest class nearly always decides, and counting one class is ten times as fast as counting all.
            sample = np.bincount(mask[::8, ::8].ravel(), minlength=256)
            sample[self.unlabelled] = -1
            largest = int(sample.argmax())
            unlabelled = [label for label in self.unlabelled if (mask == label).any()]
            for _ in range(10):
                if self._is_varied(self.apply(mask, top, left), largest, unlabelled):
                    break
                top, left = self._draw(params['shape'])
        return {'top': top, 'left': left}

    def _is_varied(self, mask: UInt8Array, largest: int, unlabelled: Sequence[int]) -> bool:
        """Return whether a crop has labelled pixels and no class exceeds `cat_max_ratio`.

        Args:
            mask: of the crop.
            largest: the class that probably has the most pixels; it affects speed only.
            unlabelled: the labels of ignored pixels and of padding that the image has.
        """
        total = mask.size - sum(np.count_nonzero(mask == label) for label in unlabelled)
        count = np.count_nonzero(mask == largest)
        if total == 0 or count / total >= self.cat_max_ratio:
            return False
        if (total - count) / total < self.cat_max_ratio:  # no other class can have more
            return True
        counts = _counts(mask)
        counts[self.unlabelled] = 0
        return bool(counts.max() / total < self.cat_max_ratio)


class RareClassCrop(_Crop):
    """Crop around a random pixel of a rare class; the pixel may be anywhere in the crop.

    The class is drawn from the rare classes in the image. If there are none, the crop is random.

    Args:
        height: of the crop.
        width: of the crop.
        classes: names or labels of the rare classes.
        ignore_index: label of ignored pixels; set by the pipeline.
        class_names: names of all classes; set by the pipeline.
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
        """Draw the position."""
        mask = data.get('mask')
        counts = _counts(mask) if mask is not None else np.zeros(256)
        present = [label for label in self.classes if counts[label]]
        if mask is None or not present:
            top, left = self._draw(params['shape'])
            return {'top': top, 'left': left}
        pixels = np.flatnonzero(mask == present[self.random_generator.integers(len(present))])
        row, column = divmod(int(pixels[self.random_generator.integers(len(pixels))]), mask.shape[1])
        return {
            'top': self._around(row, self.height, mask.shape[0]),
            'left': self._around(column, self.width, mask.shape[1]),
        }

    def _around(self, position: int, length: int, edge: int) -> int:
        """Draw the start of a range of this length that contains a position and stays within the edge."""
        first, last = max(position - length + 1, 0), min(position, max(edge - length, 0))
        return int(self.random_generator.integers(first, last + 1))


def _label(given: Any, class_names: Sequence[str]) -> int:
    """Return the label of a class, given by name or label."""
    if isinstance(given, str) and given in class_names:
        return list(class_names).index(given)
    last = len(class_names) - 1 if class_names else 255
    if not is_whole(given) or not 0 <= given <= last:
        near = nearest(given, class_names) if isinstance(given, str) else ''
        raise ValueError(f'classes: {given!r} is neither a class name nor a label from 0 to {last}{near}')
    return int(given)


def _counts(mask: UInt8Array) -> npt.NDArray[np.int64]:
    """Return the number of pixels of each label, int64 `[256]`."""
    counts = cv2.calcHist([np.ascontiguousarray(mask)], [0], None, [256], [0, 256])
    return counts.ravel().astype(np.int64)


class PadTo(A.DualTransform):
    """Pad at the right and bottom to a size, or to a multiple of a number, like mmseg's `Pad`.

    Args:
        height: minimum height of the result.
        width: minimum width of the result.
        size_divisor: pads height and width to a multiple of this number.
        fill: value of new pixels in the image; padding becomes zero after normalisation regardless.
        fill_mask: label of new pixels in the mask; set by the pipeline.
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
