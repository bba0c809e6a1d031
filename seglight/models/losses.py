"""Losses of other libraries in mmseg's heads, and class weights from the data."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmseg.models.builder import LOSSES
from torch import Tensor, nn
from torch.nn.modules.loss import _Loss

from seglight.config.classes import import_class, name_and_arguments
from seglight.errors import ConfigError, UsageError, one_line
from seglight.models import accuracy, hard_pixels, lovasz, mmseg_losses  # noqa: F401  (take the place of mmseg's)
from seglight.similar import nearest

#: Value of `class_weight` for weights computed from the data.
BALANCED = 'balanced'

_OWN_ARGUMENTS = ('loss_weight', 'loss_name', 'class_weight')


@LOSSES.register_module()
class ClassPathLoss(nn.Module):
    """Any loss of logits and labels, with the signature that mmseg's heads call.

    A loss with the argument `ignore_index` receives it. Any other gets only the labelled pixels, as one row.
    A loss that one-hot encodes labels itself (MONAI's `to_onehot_y`) gets them with a channel dimension.

    Args:
        loss: `class_path` and `init_args`.
        loss_weight: factor of the loss.
        loss_name: name of the item in the head's loss dict; starts with `loss`.
        class_weight: one weight per class, for losses with the argument `weight`.
        ignore_index: label that does not count.
        key: the loss's key in the config, for errors.

    Raises:
        ConfigError: if the class does not exist, is not a loss, or does not accept an argument.
    """

    def __init__(
        self,
        loss: dict[str, Any],
        loss_weight: float = 1.0,
        loss_name: str | None = None,
        class_weight: Sequence[float] | None = None,
        ignore_index: int = 255,
        key: str = 'model.segmentor',
    ) -> None:
        super().__init__()
        self.path, self._arguments = name_and_arguments(loss, key)
        self._key = key
        cls = _find_loss(self.path, key)
        valid = inspect.signature(cls).parameters
        for name in self._arguments:
            if name not in valid:
                hint = nearest(name, [*valid, *_OWN_ARGUMENTS])
                raise ConfigError(f'{key}.{name}', f"{self.path} has no argument '{name}'{hint}")
        self._knows_ignore_index = 'ignore_index' in valid
        if self._knows_ignore_index:
            self._arguments.setdefault('ignore_index', ignore_index)
        if class_weight is not None and 'weight' not in valid:
            raise ConfigError(f'{key}.class_weight', f'{self.path} does not support class_weight')
        self.class_weight = class_weight
        self.loss_weight = loss_weight
        self.loss_name = loss_name or f'loss_{cls.__name__.removesuffix("Loss").lower()}'
        self.register_load_state_dict_pre_hook(_without_class_weight)  # type: ignore[no-untyped-call]

    @property
    def class_weight(self) -> Sequence[float] | None:
        """One weight per class, None if the loss has none. Setting it rebuilds the loss on the CPU."""
        return self._class_weight

    @class_weight.setter
    def class_weight(self, weights: Sequence[float] | None) -> None:
        self._class_weight = None if weights is None else [float(weight) for weight in weights]
        self.loss = _with_weights(_find_loss(self.path, self._key), self._arguments, weights, self._key)

    def forward(
        self, seg_logit: Tensor, seg_label: Tensor, weight: Tensor | None = None, ignore_index: int = 255, **_: Any
    ) -> Tensor:
        """Return the weighted loss; 0 for a batch without labelled pixels.

        Args:
            seg_logit: float `[B, C, H, W]`.
            seg_label: int64 `[B, H, W]`.
            weight: of each pixel, from a sampler such as OHEM; not supported.
            ignore_index: label that does not count.

        Raises:
            ConfigError: if there is a pixel sampler.
        """
        if weight is not None:
            raise UsageError('losses given by class path do not support pixel samplers (OHEM); use a loss of mmseg')
        counted = seg_label != ignore_index
        any_counted = counted.any()
        if self._knows_ignore_index:
            # No `if`, which would wait for the GPU: if no pixel counts, the mean is of other labels and zeroed below.
            heaviest = int(np.argmax(self.class_weight or [1.0]))
            seg_label = seg_label.where(any_counted, heaviest)
        elif any_counted:
            seg_logit = seg_logit.movedim(1, -1)[counted].T[None, :, None]  # [1, C, 1, P]
            seg_label = seg_label[counted][None, None]  # [1, 1, P]
        else:
            return seg_logit.sum() * 0
        if self._arguments.get('to_onehot_y'):
            seg_label = seg_label[:, None]
        self.loss.to(seg_logit.dtype)  # `precision: bf16-true` has made its class weights bfloat16
        # Contiguous, because many libraries call `view`, which channels-last features do not have.
        value: Tensor = self.loss(seg_logit.contiguous(), seg_label)
        return value.mean() * self.loss_weight * any_counted


def _with_weights(cls: type, arguments: dict[str, Any], weights: Sequence[float] | None, key: str) -> nn.Module:
    """Build a loss with class weights. No checkpoint stores them: they come from the config or the data."""
    given = {} if weights is None else {'weight': torch.tensor(weights, dtype=torch.float32)}
    try:
        loss: nn.Module = cls(**arguments, **given)
    except (TypeError, ValueError, ArithmeticError, AssertionError) as error:
        message = f'{cls.__module__}.{cls.__name__} cannot be built: {one_line(error)}'
        raise ConfigError(key, message) from error
    for part in loss.modules():
        for name, buffer in list(part.named_buffers(recurse=False)):
            if buffer is given.get('weight'):
                part.register_buffer(name, buffer, persistent=False)
    return loss


def _without_class_weight(loss: ClassPathLoss, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Drop entries that the loss does not store from a state dict: older checkpoints hold class weights."""
    own = {f'{prefix}{name}' for name in loss.state_dict()}
    for name in [name for name in state if name.startswith(prefix) and name not in own]:
        del state[name]


def _find_loss(path: str, key: str) -> type:
    """Import a loss and nothing else, because the config may come from an untrusted checkpoint."""
    cls = import_class(path, nn.Module, key)
    if not issubclass(cls, _Loss) and not any('loss' in part for part in cls.__module__.split('.')):
        message = f"{path} is not a loss: it must be a subclass of torch's _Loss or be in a module 'losses'"
        raise ConfigError(key, message)
    return cls


def wrap(loss: dict[str, Any], key: str) -> None:
    """Turn the dict of a loss given by class path, in place, into that of a `ClassPathLoss` with this config key."""
    path = str(loss.get('class_path', loss.get('type')))
    if '.' not in path:
        return
    arguments = loss.pop('init_args', None) or {}
    own = {name: loss.pop(name) for name in _OWN_ARGUMENTS if name in loss}
    arguments.update({name: value for name, value in loss.items() if name not in ('type', 'class_path')})
    loss.clear()
    loss.update(type='ClassPathLoss', loss={'class_path': path, 'init_args': arguments}, key=key, **own)


def balanced_weights(counts: Tensor) -> list[float]:
    """Return `n / (classes * count)` for each class, as scikit-learn's `compute_class_weight('balanced')` does.

    Args:
        counts: pixels of each class, int64 `[C]`.

    Returns:
        The weights; their mean over all pixels is 1. A class without pixels has weight 0 and does not count.
    """
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1).double())
    return [float(weight) for weight in weights * present]
