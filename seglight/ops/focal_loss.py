"""Focal loss (https://arxiv.org/abs/1708.02002) over classes, as mmcv's two functions of these names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

#: From logits `[N, C]` (float32 at least), the targets `[N]`, gamma and alpha to losses, `[N, C]` or `[N]`.
_Elementwise = Callable[[Tensor, Tensor, float, float], Tensor]


class FocalLoss(Protocol):
    """A focal loss as mmcv calls it."""

    def __call__(
        self,
        logits: Tensor,
        target: Tensor,
        gamma: float = 2.0,
        alpha: float = 0.25,
        weight: Tensor | None = None,
        reduction: str = 'mean',
    ) -> Tensor:
        """Return the focal loss.

        Args:
            logits: `[N, C]`, floating point.
            target: the class of each sample, int64 `[N]`.
            gamma: how much less a sample counts the better it is classified; 0 for cross-entropy.
            alpha: a factor; see each function.
            weight: a factor for the samples of each class, `[C]`.
            reduction: 'none', 'sum', or 'mean' for the sum divided by N.

        Returns:
            The loss, of the logits' dtype; it is computed in float32 at least.

        Raises:
            ValueError: if a shape, the target's dtype or `reduction` is none of the above.
        """


def _focal_loss(compute: _Elementwise) -> FocalLoss:
    """Return a focal loss that checks its arguments, weights and reduces what `compute` returns for each element."""

    def loss(
        logits: Tensor,
        target: Tensor,
        gamma: float = 2.0,
        alpha: float = 0.25,
        weight: Tensor | None = None,
        reduction: str = 'mean',
    ) -> Tensor:
        _check(compute.__name__, logits, target, weight, reduction)
        values = compute(logits if logits.dtype == torch.float64 else logits.float(), target, gamma, alpha)
        if weight is not None:
            factors = weight.to(values.dtype)[target.clamp_min(0)]
            values = values * (factors[:, None] if values.dim() == 2 else factors)
        if reduction != 'none':
            values = values.sum() / (len(logits) if reduction == 'mean' else 1)
        return values.to(logits.dtype)

    loss.__name__ = loss.__qualname__ = compute.__name__
    loss.__doc__ = compute.__doc__
    return loss


@_focal_loss
def sigmoid_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of one binary classifier per class; see `FocalLoss`.

    A target outside 0..C-1 is background, of no class; with `weight` each sample must have a class. `alpha` is
    the weight of the class that a sample has, `1 - alpha` that of the others. Without reduction it is `[N, C]`.
    """
    hit = target[:, None] == torch.arange(logits.shape[1], device=logits.device)  # N, C
    log_right = functional.logsigmoid(torch.where(hit, logits, -logits))
    # 1 - p as a logarithm, so that its powers have finite gradients where p rounds to 1.
    log_wrong = functional.logsigmoid(torch.where(hit, -logits, logits))
    balance = hit.to(logits.dtype) * (2 * alpha - 1) + (1 - alpha)  # alpha for the sample's class
    return -balance * torch.exp(gamma * log_wrong) * log_right


@_focal_loss
def softmax_focal_loss(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of one classifier over all classes; see `FocalLoss`.

    The loss of a negative target is 0. `alpha` is a factor for the whole loss. Without reduction it is `[N]`.
    """
    log_probability = functional.log_softmax(logits, dim=1).gather(1, target.clamp_min(0)[:, None])[:, 0]
    # A probability that rounds to 1 would make the gradient of a power below 1 infinite.
    wrong = (-torch.expm1(log_probability)).clamp_min(torch.finfo(log_probability.dtype).tiny)
    return (-alpha * wrong**gamma * log_probability).masked_fill(target < 0, 0)


def _check(name: str, logits: Tensor, target: Tensor, weight: Tensor | None, reduction: str) -> None:
    if logits.dim() != 2 or target.shape != logits.shape[:1]:
        shapes = f'{list(logits.shape)} and {list(target.shape)}'
        raise ValueError(f'{name}: logits and target must have the shapes [N, C] and [N], got {shapes}')
    if target.dtype != torch.long:
        raise ValueError(f'{name}: target must be of dtype torch.int64, got {target.dtype}')
    if weight is not None and weight.shape != logits.shape[1:]:
        raise ValueError(f'{name}: weight must have the shape {list(logits.shape[1:])}, got {list(weight.shape)}')
    if reduction not in ('none', 'mean', 'sum'):
        raise ValueError(f"{name}: reduction must be 'none', 'mean' or 'sum', got {reduction!r}")
