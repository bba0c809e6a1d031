"""Test-time augmentation: predict scaled, mirrored and rotated views of an image, and merge the predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import mmcv
import numpy as np
import torch
from torch import Tensor

from seglight.array_types import Size
from seglight.errors import UsageError
from seglight.models.highest import highest
from seglight.models.inference.logits import class_probabilities, predict_mask
from seglight.models.inference.opencv import resized_as_opencv
from seglight.models.inference.resampling import Coarse, resized_bands

Flip = Literal['horizontal', 'vertical']
Merge = Literal['probabilities', 'logits', 'vote']

#: Maps uint8 images `[b, 3, H, W]` to logits `[b, C, h, w]` of any size, and `align_corners` for resizing them.
Infer = Callable[[Tensor], tuple[Tensor, bool]]


@dataclass(frozen=True)
class View:
    """One view of an image: resized, then rotated, then mirrored.

    `scale`: of both sides. `turns`: by 90 degrees, counterclockwise. `mirrored`: left to right.
    """

    scale: float = 1.0
    turns: int = 0
    mirrored: bool = False

    def apply(self, image: Tensor) -> Tensor:
        """Rotate and mirror images `[..., H, W]` that already have the view's scale."""
        turned = image.rot90(self.turns, (-2, -1)) if self.turns else image
        return turned.flip(-1) if self.mirrored else turned

    def undo(self, scores: Tensor) -> Tensor:
        """Undo the mirroring and rotation in scores `[..., H, W]` of the view."""
        if self.mirrored:
            scores = scores.flip(-1)
        return scores.rot90(-self.turns, (-2, -1)) if self.turns else scores

    def size(self, size: Size) -> Size:
        """Return the size of an image after rotation."""
        return size if self.turns % 2 == 0 else (size[1], size[0])


def make_views(scales: Sequence[float], flips: Sequence[Flip], rotations: Sequence[int]) -> list[View]:
    """Return every combination once, in mmseg's order: by scale, unmirrored views before mirrored ones.

    Args:
        scales: of both sides of the image.
        flips: each adds mirrored views to the unmirrored ones.
        rotations: in degrees counterclockwise; include 0 for the unrotated image.

    Raises:
        UsageError: for no scale or one that is not above 0, for an unknown flip, for no rotation or one
            that is not a multiple of 90.
    """
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise UsageError(f'scales of test-time augmentation must be above 0, got {list(scales)}')
    if unknown := set(flips) - {'horizontal', 'vertical'}:
        raise UsageError(f"flips of test-time augmentation must be 'horizontal' or 'vertical', got {sorted(unknown)}")
    if not rotations or any(degrees % 90 for degrees in rotations):
        raise UsageError(f'rotations of test-time augmentation must be multiples of 90, got {list(rotations)}')
    views: dict[View, None] = {}  # a set in order: rotations and flips can give the same view
    for scale in scales:
        for turns in (int(degrees // 90 % 4) for degrees in rotations):
            views[View(scale, turns)] = None
            for flip in flips:
                views[View(scale, turns if flip == 'horizontal' else (turns + 2) % 4, mirrored=True)] = None
    return list(views)


def view_size(size: Size, scale: float) -> Size:
    """Return the size of an image at a scale, rounded as mmseg's `MultiScaleFlipAug` and `Resize` do.

    Each side is at least one pixel, where theirs would be 0.
    """
    height, width = size
    scaled = mmcv.rescale_size((width, height), (max(1, int(width * scale)), max(1, int(height * scale))))
    return max(1, scaled[1]), max(1, scaled[0])


@dataclass(frozen=True)
class Views:
    """Views of an image, and how to merge their predictions.

    Args:
        views: the views.
        merge: mean of the probabilities (mmseg's `aug_test`), softmax of the mean logits, or share of votes.
        batch_size: images of one size that go through the segmentor together.
    """

    views: Sequence[View]
    merge: Merge = 'probabilities'
    batch_size: int = 8

    def probabilities(self, infer: Infer, image: Tensor, original_size: Size, threshold: float = 0.0) -> Tensor:
        """Return the class probabilities of images of one size, merged over the views; only their sum is in memory.

        Args:
            infer: maps uint8 images `[b, 3, h, w]` to their logits.
            image: uint8 `[B, 3, H, W]`.
            original_size: height and width of the result.
            threshold: the probability above which a binary head votes for class 1.

        Returns:
            float32 `[B, C, *original_size]`.
        """
        total = torch.empty(0)
        for coarse in self._view_logits(infer, image, original_size):
            if not total.numel():
                total = coarse.logits.new_zeros(*coarse.logits.shape[:2], *original_size, dtype=torch.float32)
            for rows, logits in resized_bands(coarse):
                total[:, :, rows] += self._scores(logits, threshold)
        total /= len(self.views)
        return class_probabilities(total) if self.merge == 'logits' else total

    def _scores(self, logits: Tensor, threshold: float) -> Tensor:
        """Return the values to sum over the views, float32 of the logits' shape."""
        if self.merge == 'logits':
            return logits
        return class_probabilities(logits) if self.merge == 'probabilities' else _votes(logits, threshold)

    def _view_logits(self, infer: Infer, image: Tensor, original_size: Size) -> Iterator[Coarse]:
        """Yield the logits of each view, rotated back; views of the same size share forward passes."""
        count = max(1, self.batch_size // len(image))
        for scale in dict.fromkeys(view.scale for view in self.views):
            size = view_size((image.shape[2], image.shape[3]), scale)
            scaled = resized(image, size)
            alike: dict[Size, list[View]] = {}
            for view in self.views:
                if view.scale == scale:
                    alike.setdefault(view.size(size), []).append(view)
            for members in alike.values():
                for first in range(0, len(members), count):
                    chunk = members[first : first + count]
                    logits, align_corners = infer(torch.cat([view.apply(scaled) for view in chunk]))
                    for view, own in zip(chunk, logits.split(len(image)), strict=True):
                        # Rotation commutes with resizing and is cheaper before it.
                        yield Coarse(view.undo(own), (size, original_size), align_corners)


def resized(image: Tensor, size: Size) -> Tensor:
    """Resize uint8 images `[B, 3, H, W]` as mmseg's `Resize` does: bilinear, with OpenCV, rounded to integers."""
    if tuple(image.shape[2:]) == tuple(size):
        return image
    if image.device.type != 'cpu':
        return resized_as_opencv(image, size)
    height, width = size
    pixels = image.permute(0, 2, 3, 1).numpy()
    smaller = [mmcv.imresize(np.ascontiguousarray(single), (width, height)) for single in pixels]
    return torch.from_numpy(np.stack(smaller)).permute(0, 3, 1, 2).contiguous()


def _votes(logits: Tensor, threshold: float) -> Tensor:
    """Return 1 for the class that wins a pixel and 0 for the others, float32 of the logits' shape."""
    if logits.shape[1] == 1:
        return predict_mask(logits.sigmoid(), threshold).unsqueeze(1).float()
    classes = torch.arange(logits.shape[1], device=logits.device).view(-1, 1, 1)
    return (highest(logits).unsqueeze(1) == classes).float()
