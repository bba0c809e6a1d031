"""Whether transforms leave the labels of masks what they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import albumentations as A
import cv2
import numpy as np

from seglight.array_types import UInt8Array
from seglight.errors import DataError

_OWN = ('albumentations.', 'seglight.')  #: whose transforms move labels, and blend none
_WHOLE = 1 << 16  #: pixels of a mask that is looked at whole; of a larger one every fourth row
_FILLS = ('fill_mask', 'mask_drop_value')  #: arguments by which transforms set labels


class LabelCheck:
    """Finds labels that a transform of a user's own has made up, such as class 1 between the classes 0 and 2.

    A transform that draws objects says so by the attribute `makes_labels = True` of its class; then only labels
    that are no class count. The transforms of albumentations and of this project are known, so that they cost nothing.

    Args:
        pipeline: the transforms.
        num_classes: labels below are classes.
        allowed: labels that any transform may set, such as that of ignored pixels.
    """

    def __init__(self, pipeline: A.BaseCompose, num_classes: int, allowed: Iterable[int]) -> None:
        transforms = list(transforms_of(pipeline))
        foreign = [each for each in transforms if not type(each).__module__.startswith(_OWN)]
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
            position: that of the sample, whose labels are counted once.
            before: the mask of its file, uint8 `[H, W]`.
            after: the same after the transforms.
            name: what the image is called in the error.

        Raises:
            DataError: if there is a label that the mask did not have.
        """
        if not self._names:
            return
        known = self._before.get(position)
        if known is None:
            known = self._before[position] = np.packbits(np.bincount(before.ravel(), minlength=256) > 0)
        seen = np.ascontiguousarray(after if after.size <= _WHOLE else after[::4])
        unknown = self._fixed & (1 - np.unpackbits(known))
        if cv2.countNonZero(cv2.LUT(seen, unknown)):
            labels = ', '.join(str(label) for label in np.unique(seen[unknown[seen] > 0])[:5])
            raise DataError(
                f'The transforms of the config give the mask of {name} the label {labels}, which it does not have; '
                f'{self._names} must move labels without blending them (nearest neighbour), '
                'or have the attribute makes_labels = True'
            )


def transforms_of(pipeline: A.BaseCompose) -> Iterator[A.BasicTransform]:
    """Yield the transforms of a pipeline and of those inside it."""
    for transform in pipeline:
        if isinstance(transform, A.BaseCompose):
            yield from transforms_of(transform)
        else:
            yield transform
