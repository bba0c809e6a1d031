"""The accuracy that mmseg's heads log, without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

from seglight import compat


def accuracy(logits: Tensor, labels: Tensor, ignore_index: int | None = None) -> Tensor:
    """Return the percentage of labelled pixels whose class has the highest logit; 100 if no pixel is labelled.

    Args:
        logits: float `[B, C, ...]`.
        labels: int64 `[B, ...]`.
        ignore_index: label that does not count.

    Returns:
        float32 `[1]`, as mmseg's.
    """
    counted = torch.ones_like(labels, dtype=torch.bool) if ignore_index is None else labels != ignore_index
    hits = (logits.argmax(1) == labels) & counted
    tiny = torch.finfo(torch.float32).eps
    return 100 * (hits.sum().float() + tiny).view(1) / (counted.sum() + tiny)


compat.give_mmseg_heads(accuracy)
