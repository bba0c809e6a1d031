"""Relative errors of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def relative_error(values: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Return the Euclidean norm of the difference over that of the truth, both over all tensors together."""
    difference = sum((_wide(a) - _wide(b)).square().sum() for a, b in zip(values, truth, strict=True))
    norm = sum(_wide(b).square().sum() for b in truth)
    return float(torch.as_tensor(difference / norm).sqrt())


def _wide(values: Tensor) -> Tensor:
    return values.detach().to('cpu', torch.float64)
