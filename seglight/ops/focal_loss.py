"""Focal loss (https://arxiv.org/abs/1708.02002), equivalent to mmcv's two functions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def sigmoid_focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Return the focal loss of a binary classifier for each class.

    Args:
        logits: `[N, C]`, floating point.
        target: the class of each sample, int64 `[N]`; background outside 0 to C-1.
        gamma: focusing exponent; 0 for cross-entropy.
        alpha: weight of the positive class; that of the negative classes is `1 - alpha`.
        weight: factor for the samples of each class, `[C]`; then no sample may be background.
        reduction: 'none' for `[N, C]`, 'sum', or 'mean' for the sum divided by N.

    Returns:
        The loss, with the dtype of `logits`, computed in at least float32.

    Raises:
        ValueError: for a wrong shape, target dtype or `reduction`.
    """
    _check('sigmoid_focal_loss', logits, target, weight, reduction)
    values = _at_least_float32(logits)
    is_class = target[:, None] == torch.arange(logits.shape[1], device=logits.device)  # N, C
    log_correct = functional.logsigmoid(torch.where(is_class, values, -values))
    # 1 - p as a logarithm, so that its powers have finite gradients where p rounds to 1.
    log_wrong = functional.logsigmoid(torch.where(is_class, -values, values))
    balance = is_class.to(values.dtype) * (2 * alpha - 1) + (1 - alpha)  # alpha for the positive class
    loss = -balance * torch.exp(gamma * log_wrong) * log_correct
    if weight is not None:
        loss = loss * weight.to(loss.dtype)[target][:, None]
    return _reduce(loss, reduction).to(logits.dtype)


def softmax_focal_loss(
    logits: Tensor,
    target: Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    weight: Tensor | None = None,
    reduction: str = 'mean',
) -> Tensor:
    """Return the focal loss of a multiclass classifier.

    Args:
        logits: `[N, C]`, floating point.
        target: the class of each sample, int64 `[N]`; the loss of a negative one is 0.
        gamma: focusing exponent; 0 for cross-entropy.
        alpha: factor for the whole loss.
        weight: factor for the samples of each class, `[C]`.
        reduction: 'none' for `[N]`, 'sum', or 'mean' for the sum divided by N.

    Returns:
        The loss, with the dtype of `logits`, computed in at least float32.

    Raises:
        ValueError: for a wrong shape, target dtype or `reduction`.
    """
    _check('softmax_focal_loss', logits, target, weight, reduction)
    is_labelled = target >= 0
    label = target.clamp_min(0)
    log_probability = functional.log_softmax(_at_least_float32(logits), dim=1).gather(1, label[:, None])[:, 0]
    # If a probability rounds to 1, the gradient of a power below 1 would be infinite.
    wrong = (-torch.expm1(log_probability)).clamp_min(torch.finfo(log_probability.dtype).tiny)
    loss = -alpha * wrong**gamma * log_probability
    if weight is not None:
        loss = loss * weight.to(loss.dtype)[label]
    return _reduce(loss.masked_fill(~is_labelled, 0), reduction).to(logits.dtype)


def _at_least_float32(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == 'none':
        return loss
    return loss.sum() / (loss.shape[0] if reduction == 'mean' else 1)


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
