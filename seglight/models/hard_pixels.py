"""mmseg's sampler of hard pixels, without waiting for the device."""

from __future__ import annotations

import torch
from mmseg.core import OHEMPixelSampler as MmsegSampler
from mmseg.core.seg.builder import PIXEL_SAMPLERS
from torch import Tensor, nn


@PIXEL_SAMPLERS.register_module(force=True)
class OHEMPixelSampler(MmsegSampler):  # type: ignore[misc]
    """mmseg's sampler (online hard example mining), which selects the same pixels.

    mmseg's selects the labelled pixels first, and the host waits for their number. This one sorts all pixels, those
    that do not count last.
    """

    @torch.no_grad()
    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """Return the weight of each pixel, 1 for the hard ones and 0 for others, `[B, H, W]` like the logits.

        Args:
            seg_logit: float `[B, C, H, W]`.
            seg_label: int64 `[B, 1, H, W]`.
        """
        label = seg_label.squeeze(1).long()
        counted = label != self.context.ignore_index
        kept = self.min_kept * len(label)
        if self.thresh is None:
            return self._hardest(self._losses(seg_logit, label), counted, kept).to(seg_logit.dtype)
        own = seg_logit.softmax(1).gather(1, label.where(counted, 0).unsqueeze(1)).squeeze(1)
        ascending = own.masked_fill(~counted, torch.inf).flatten().sort().values
        last = (counted.sum() - 1).clamp(0, kept)
        threshold = ascending.index_select(0, last.view(1)).clamp(min=self.thresh)
        chosen: Tensor = (counted & (own < threshold)).to(seg_logit.dtype)
        return chosen

    def _losses(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the sum of the head's losses at each pixel, `[B, H, W]`."""
        losses = self.context.loss_decode
        found = [
            loss(logits, label, weight=None, ignore_index=self.context.ignore_index, reduction_override='none')
            for loss in (losses if isinstance(losses, nn.ModuleList) else [losses])
        ]
        return torch.stack(found).sum(0)

    def _hardest(self, losses: Tensor, counted: Tensor, kept: int) -> Tensor:
        """Return which of the pixels that count have the highest losses, at most `kept`."""
        if losses.shape != counted.shape:
            raise ValueError(f'the losses have the shape {tuple(losses.shape)}, not one value per pixel')
        order = losses.masked_fill(~counted, -torch.inf).flatten().sort(descending=True).indices
        chosen = torch.zeros_like(counted).flatten().index_fill(0, order[:kept], True)
        return chosen.view_as(counted) & counted
