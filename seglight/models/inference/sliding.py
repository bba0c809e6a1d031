"""Sliding windows: several per forward pass, blended, and streamed from the top of an image to the bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

#: Windows per forward pass, over all images; `test_cfg.window_batch` overrides it.
WINDOW_BATCH = 8

#: Values of `test_cfg.blend`: how overlapping windows are averaged; the first is mmseg's plain mean.
BLENDS = ('mean', 'linear', 'gaussian')


def sliding_bands(
    infer: Callable[[Tensor], Tensor],
    image: Tensor,
    prepare: Callable[[Tensor], Tensor],
    test_cfg: Mapping[str, Any],
) -> Iterator[Tensor]:
    """Yield the averaged logits of sliding windows; rows follow as soon as no later window covers them.

    The windows, and the order in which they are summed, are those of mmseg's
    `EncoderDecoder.slide_inference`. Only one row of windows is in memory.

    Args:
        infer: maps prepared windows `[b, 3, h, w]` to logits `[b, C, h, w]`.
        image: `[B, 3, H, W]`, as `prepare` takes it.
        prepare: normalises the rows that a row of windows needs.
        test_cfg: `crop_size` and `stride`, height before width, `blend` and `window_batch`.

    Yields:
        float32 `[B, C, rows, W]`, from top to bottom; sums in lower precision would depend on the number of windows.
    """
    height, width = image.shape[2:]
    (crop_height, crop_width), (step_down, step_right) = test_cfg['crop_size'], test_cfg['stride']
    tops = window_starts(height, crop_height, step_down)
    lefts = window_starts(width, crop_width, step_right)
    rows, columns = min(crop_height, height), min(crop_width, width)
    weight = _weight_on(image.device, rows, columns, test_cfg.get('blend', 'mean'))
    per_pass = max(1, test_cfg.get('window_batch', WINDOW_BATCH) // len(image))
    total = torch.empty(0)
    for index, top in enumerate(tops):
        strip = prepare(image[:, :, top : top + rows])
        for first in range(0, len(lefts), per_pass):
            chunk = lefts[first : first + per_pass]
            logits = infer(torch.cat([strip[..., left : left + columns] for left in chunk]))
            if not total.numel():
                total = logits.new_zeros(len(image), logits.shape[1], rows, width, dtype=torch.float32)
                weights = total.new_zeros(rows, width)
            for left, window in zip(chunk, logits.split(len(image)), strict=True):
                total[..., left : left + columns] += window if weight.numel() == 1 else window * weight
                weights[:, left : left + columns] += weight
        finished = tops[index + 1] - top if index + 1 < len(tops) else rows
        yield total[:, :, :finished] / weights[:finished]
        total, weights = _moved_up(total, finished), _moved_up(weights, finished)


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """Return where windows start along one side; the last one ends with the image, as in mmseg."""
    count = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(index * stride + crop, length) - crop, 0) for index in range(count)]


def blend_weight(height: int, width: int, blend: str) -> Tensor:
    """Return the weight of each pixel of a window in the mean of the windows that cover it.

    `linear` decreases linearly from the middle to the border along each side; `gaussian` is nnU-Net's
    (arXiv:1904.08128), with a standard deviation of an eighth of the side. Both stay above zero.

    Args:
        height: rows of the window.
        width: columns of the window.
        blend: one of `BLENDS`.

    Returns:
        float32 `[height, width]`, at most 1; for `mean` a single 1.
    """
    if blend == 'mean':
        return torch.ones(())
    sides = []
    for size in (height, width):
        distance = (torch.arange(size) - (size - 1) / 2).abs()
        if blend == 'linear':
            sides.append(1 - distance / (size / 2 + 0.5))
        else:
            sides.append(torch.exp(-0.5 * (distance / (size / 8)) ** 2))
    return torch.outer(*sides).clamp_min(1e-4)


@lru_cache(maxsize=8)
def _weight_on(device: torch.device, height: int, width: int, blend: str) -> Tensor:
    """Return the `blend_weight` on a device; kept, since copying it there for each image would wait for a GPU."""
    with torch.inference_mode(False):
        return blend_weight(height, width, blend).to(device)


def _moved_up(values: Tensor, rows: int) -> Tensor:
    """Return a copy of `[..., H, W]` moved up by `rows`, with zeros below."""
    moved = torch.zeros_like(values)
    moved[..., : values.shape[-2] - rows, :] = values[..., rows:, :]
    return moved
