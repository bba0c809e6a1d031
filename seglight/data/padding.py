"""Padding: pixels that transforms add to a sample.

Padding counts neither in training nor in evaluation, but unlike ignored pixels it becomes zero after normalisation, as
in mmseg. Therefore transforms fill masks with `padding_label`, a label that masks do not have. In training, the label
marks the pixels of `Item['padding']` and is then replaced by the ignored label. In evaluation, where masks are not
transformed, it shows the size of the image without padding.
"""

from __future__ import annotations

import inspect
from functools import cache

import albumentations as A

from seglight.data.augmentations import PadTo
from seglight.data.label_check import transforms_of


def padding_label(num_classes: int, ignore_index: int) -> int:
    """Return the highest label that is neither a class nor ignored; `ignore_index` if there is none."""
    return next((label for label in range(255, num_classes - 1, -1) if label != ignore_index), ignore_index)


def may_pad(pipeline: A.BaseCompose) -> bool:
    """Return whether a pipeline may add pixels."""
    return any(adds_pixels(type(transform)) for transform in transforms_of(pipeline))  # type: ignore[arg-type]


def ends_with_padding(pipeline: A.BaseCompose) -> bool:
    """Return whether a pipeline ends with `PadTo`; in evaluation this has no effect, since inference crops padding."""
    *_, last = [None, *transforms_of(pipeline)]
    return isinstance(last, PadTo)


@cache  # evaluation calls it for every image
def adds_pixels(cls: type) -> bool:
    """Return whether a transform adds pixels; dropouts, whose `fill_mask` is None by default, do not."""
    fill = inspect.signature(cls).parameters.get('fill_mask')
    return fill is not None and fill.default is not None
