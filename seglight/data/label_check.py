"""Check that transforms create no new labels in masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import albumentations as A
import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.errors import DataError

_TRUSTED = ('albumentations.', 'seglight.')  #: packages whose transforms never blend labels
_WHOLE = 1 << 16  #: pixels up to which a mask is checked completely; of a larger mask, every fourth row
_FILLS = ('fill_mask', 'mask_drop_value')  #: arguments of transforms that set labels


class LabelCheck:
    """Finds labels that a user's transform has created by interpolation, such as class 1 between classes 0 and 2.

    A transform that draws objects must set `makes_labels = True` in its class; then every class is allowed.
    The transforms of albumentations and seglight are trusted and skipped.

    Args:
        pipeline: the transforms.
        num_classes: number of classes.
        allowed: labels that any transform may set, such as the ignored label.
    """

    def __init__(self, pipeline: A.BaseCompose, num_classes: int, allowed: Iterable[int]) -> None:
        transforms = list(transforms_of(pipeline))
        foreign = [each for each in transforms if not type(each).__module__.startswith(_TRUSTED)]
        self._names = ', '.join(dict.fromkeys(type(each).__name__ for each in foreign))
        self._fixed = np.ones(256, dtype=np.uint8)
        given = [getattr(each, name, None) for each in transforms for name in _FILLS]
        fills = [int(fill) for fill in given if isinstance(fill, (int, float)) and 0 <= fill < 256]
        self._fixed[[*allowed, *fills]] = 0
        if any(getattr(each, 'makes_labels', False) for each in foreign):
            self._fixed[:num_classes] = 0
        self._before: dict[int, UInt8Array] = {}

    def __call__(self, position: int, before: UInt8Array, after: UInt8Array, name: str) -> None:
        """Check a transformed mask.

        Args:
            position: of the sample, whose original labels are cached.
            before: the mask before the transforms, uint8 `[H, W]`.
            after: the mask after the transforms, uint8 `[H, W]`.
            name: of the image, for errors.

        Raises:
            DataError: if the mask has a new label.
        """
        if not self._names:
            return
        known = self._before.get(position)
        if known is None:
            known = self._before[position] = np.packbits(np.bincount(before.ravel(), minlength=256) > 0)
        checked = np.ascontiguousarray(after if after.size <= _WHOLE else after[::4])
        unknown = self._fixed & (1 - np.unpackbits(known))
        if cv2.countNonZero(cv2.LUT(checked, unknown)):
            labels = ', '.join(str(label) for label in np.unique(checked[unknown[checked] > 0])[:5])
            raise DataError(
                f'The transforms of the config give the mask of {name} the new label {labels}; '
                f'{self._names} must not interpolate labels (use nearest neighbour), '
                'or must have the attribute makes_labels = True'
            )


def transforms_of(pipeline: A.BaseCompose) -> Iterator[A.BasicTransform]:
    """Yield the transforms of a pipeline, including nested ones."""
    for transform in pipeline:
        if isinstance(transform, A.BaseCompose):
            yield from transforms_of(transform)
        else:
            yield transform
