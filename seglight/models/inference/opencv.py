"""OpenCV's bilinear resizing of uint8 images, on any device and with the same pixels."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from seglight.array_types import Size

#: OpenCV's weights are multiples of 1 / 2048.
_ONE = 2048

#: Values of the result that are computed in one step, to bound the memory for intermediate ones.
_BAND = 2**26


class _Axis(NamedTuple):
    """For each row or column of the result: the two of the source between which it lies, and their weights, int32."""

    first: Tensor
    second: Tensor
    weight_first: Tensor
    weight_second: Tensor


def resized_as_opencv(image: Tensor, size: Size) -> Tensor:
    """Resize images as `cv2.resize` does with `INTER_LINEAR`, without waiting for the device.

    OpenCV computes with integers, and drops some bits of the sums over columns before it sums over rows.

    Args:
        image: uint8 `[B, C, H, W]`.
        size: height and width of the result.

    Returns:
        uint8 `[B, C, *size]`.
    """
    height, width = image.shape[2:]
    if (height, width) == (2 * size[0], 2 * size[1]):  # OpenCV then averages 2x2 pixels
        wide = image.int()
        total = wide[:, :, ::2, ::2] + wide[:, :, 1::2, ::2] + wide[:, :, ::2, 1::2] + wide[:, :, 1::2, 1::2]
        return (total + 2 >> 2).to(torch.uint8)
    across = _axis(width, size[1], False, image.device)
    down = _axis(height, size[0], True, image.device)
    bands = [_rows(image, across, _Axis(*(part[rows] for part in down))) for rows in _bands(image, size)]
    return bands[0] if len(bands) == 1 else torch.cat(bands, 2)


def _bands(image: Tensor, size: Size) -> Iterator[slice]:
    """Yield the rows of the result that are computed together."""
    step = max(1, _BAND // (len(image) * image.shape[1] * size[1]))
    yield from (slice(top, top + step) for top in range(0, size[0], step))


def _rows(image: Tensor, across: _Axis, down: _Axis) -> Tensor:
    """Return the rows of the result that `down` describes."""

    def sums(rows: Tensor) -> Tensor:
        source = image.index_select(2, rows)
        first, second = source.index_select(3, across.first).int(), source.index_select(3, across.second).int()
        return first.mul_(across.weight_first).add_(second.mul_(across.weight_second)) >> 4

    above = sums(down.first).mul_(down.weight_first[:, None]) >> 16
    below = sums(down.second).mul_(down.weight_second[:, None]) >> 16
    return (above + below + 2 >> 2).to(torch.uint8)


@lru_cache(maxsize=32)
def _axis(source: int, target: int, vertical: bool, device: torch.device) -> _Axis:
    """Return how the pixels of one side are combined; at the border, OpenCV weighs rows but not columns."""
    with torch.inference_mode(False):
        middle = (torch.arange(target, dtype=torch.float64) + 0.5) * (1 / (target / source)) - 0.5
        place = middle.float()
        first = place.floor()
        fraction = place - first
        if not vertical:
            outside = (first < 0) | (first >= source - 1)
            fraction[outside] = 0
            first = first.clamp(0, source - 1)
        pair = (first.long().clamp(0, source - 1), (first.long() + 1).clamp(0, source - 1))
        weights = ((1 - fraction) * _ONE).round().int(), (fraction * _ONE).round().int()
        return _Axis(*(part.to(device) for part in (*pair, *weights)))
