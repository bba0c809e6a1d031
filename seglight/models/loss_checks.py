"""Check, before any data is read, that the losses of a segmentor's heads run, have a gradient and count."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.point_head import PointHead
from mmseg.models.losses import DiceLoss
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from seglight.errors import ConfigError, UserError, one_line
from seglight.models.losses import ClassPathLoss
from seglight.models.parts import OWN_LABELS

#: Start of the warning that torch's regression losses give before they broadcast labels over the logits.
_BROADCAST = 'Using a target size'

#: Sides of the sample; no other dimension of a tensor in the losses has these, so nothing broadcasts by chance.
_PRIMES = (29, 31, 37, 41)

#: The losses that can train a head with one channel.
_ONE_CHANNEL = (
    'a head with out_channels: 1 takes {type: CrossEntropyLoss, use_sigmoid: true}, {type: LovaszLoss, '
    'loss_type: binary, reduction: none} or {type: MaskedDiceLoss}'
)


def check_losses(segmentor: BaseSegmentor) -> None:
    """Refuse a head without a loss, a loss that fails or has no gradient, and losses of which none counts.

    Raises:
        ConfigError: names the loss and the reason.
    """
    weights = []
    for path, head in segmentor.named_modules():
        if not isinstance(head, BaseDecodeHead) or not hasattr(head, 'loss_decode'):
            continue
        losses = list(_losses(path, head))
        if not losses:
            key = f'model.segmentor.{path}.loss_decode'
            raise ConfigError(key, 'is empty: the head needs a loss to train')
        if type(head).__module__.startswith('mmseg.'):  # other heads may call their losses in other ways
            _check_sampler(path, head, [_Trial(loss, head, key) for key, loss in losses])
        weights += [(loss.loss_name, getattr(loss, 'loss_weight', 1.0)) for _, loss in losses]
    if weights and not any('loss' in name for name, _ in weights):
        names = ', '.join(name for name, _ in weights)
        message = f"no loss counts: mmseg sums only losses with 'loss' in their loss_name, got {names}"
        raise ConfigError('model.segmentor', message)
    if weights and not any(weight for name, weight in weights if 'loss' in name):
        raise ConfigError('model.segmentor', 'no loss counts: every loss_weight is 0')


def losses_of_ignored_pixels(segmentor: BaseSegmentor) -> list[str]:
    """Return a warning for each mmseg loss that counts ignored pixels."""
    return [
        f"{key}: mmseg's DiceLoss counts ignored pixels as wrong wherever something is predicted; "
        'MaskedDiceLoss, with the same arguments, skips them'
        for path, head in segmentor.named_modules()
        if isinstance(head, BaseDecodeHead) and not isinstance(head, tuple(OWN_LABELS))
        for key, loss in (_losses(path, head) if hasattr(head, 'loss_decode') else ())
        if isinstance(loss, DiceLoss)
    ]


def _losses(path: str, head: BaseDecodeHead) -> Iterator[tuple[str, Any]]:
    """Yield the losses of a head, each with its key."""
    key = f'model.segmentor.{path}.loss_decode'
    if not isinstance(head.loss_decode, nn.ModuleList):
        yield key, head.loss_decode
    else:
        yield from ((f'{key}.{index}', loss) for index, loss in enumerate(head.loss_decode))


class _Trial:
    """A loss, tried on a small sample as its head would call it; copies are called, so its state stays unchanged.

    Raises:
        ConfigError: if it fails, has no gradient, or cannot cope with ignored pixels.
    """

    def __init__(self, loss: Any, head: BaseDecodeHead, key: str) -> None:
        self.loss, self.head, self.key = loss, head, key
        self.name = loss.path if isinstance(loss, ClassPathLoss) else type(loss).__name__
        self.logits, self.labels = _sample(head)
        self._check_factor()
        self.value = self.compute()
        self._check_gradient()
        self._check_class_weight()
        self._check_ignored()

    def compute(self, weight: Tensor | None = None, **changes: Any) -> Tensor:
        """Return the mean loss with a weight for each pixel, and with other attributes or labels."""
        labels = changes.pop('labels', self.labels)
        trial = copy.deepcopy(self.loss)
        for name, value in changes.items():
            setattr(trial, name, value)
        if weight is None and self.head.sampler is not None:
            weight = torch.ones(self.labels.shape)
        try:
            with torch.enable_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter('ignore')
                warnings.filterwarnings('error', _BROADCAST)
                value_of: Tensor = trial(self.logits, labels, weight=weight, ignore_index=self.head.ignore_index)
                return value_of.mean()
        except UserError as error:
            raise self.refusal(error.text if isinstance(error, ConfigError) else str(error)) from error
        except Exception as error:  # a loss may be third-party code
            message = f'{self.name} fails on sample logits and labels: {one_line(error)}'
            raise self.refusal(message + self._cure()) from error

    def refusal(self, text: str) -> ConfigError:
        """Return an error with the key of the loss."""
        return ConfigError(self.key, text)

    def _cure(self) -> str:
        return f'; {_ONE_CHANNEL}' if self.head.out_channels == 1 else ''

    def _check_factor(self) -> None:
        factor = getattr(self.loss, 'loss_weight', 1.0)
        key = f'{self.key}.loss_weight'
        if not isinstance(factor, (int, float)) or isinstance(factor, bool):
            raise ConfigError(key, f'must be a number, got {factor!r}')
        if not 0 <= factor < math.inf:
            raise ConfigError(key, f'must be 0 or more, got {factor}')

    def _check_gradient(self) -> None:
        """Refuse a loss without a gradient, unless its weight of 0 switches it off on purpose."""
        if getattr(self.loss, 'loss_weight', 1.0) == 0:
            return
        gradient = None
        if self.value.requires_grad:
            (gradient,) = torch.autograd.grad(self.value, self.logits, allow_unused=True)
        if gradient is None or not gradient.any():
            raise self.refusal(
                f'{self.name} cannot train the model: its gradient is zero{self._zero_reason()}{self._cure()}'
            )

    def _zero_reason(self) -> str:
        if _has_class_weight(self.loss) and not any(self.loss.class_weight):
            return ', because class_weight is 0 for every class'
        return ', because a softmax over one channel is always 1' if self.head.out_channels == 1 else ''

    def _check_class_weight(self) -> None:
        """Refuse weights that the loss accepts but does not use."""
        if isinstance(self.loss, ClassPathLoss) or not _has_class_weight(self.loss):
            return
        if any(weight != 1 for weight in self.loss.class_weight) and self.compute(class_weight=None) == self.value:
            key = f'{self.key}.class_weight'
            raise ConfigError(key, f'has no effect: this {self.name} does not use it; remove it')

    def _check_ignored(self) -> None:
        """Refuse a loss that is not finite for a batch without labelled pixels."""
        value = self.compute(labels=torch.full_like(self.labels, self.head.ignore_index))
        if not value.isfinite():
            raise self.refusal(
                f'{self.name} is {value.item()} for a batch whose pixels are all ignored (ignore_index '
                f'{self.head.ignore_index}){"; set smooth above 0" if hasattr(self.loss, "smooth") else ""}'
            )


def _has_class_weight(loss: Any) -> bool:
    return getattr(loss, 'class_weight', None) is not None


def _check_sampler(path: str, head: BaseDecodeHead, trials: list[_Trial]) -> None:
    """Refuse a pixel sampler that fails for a head, or whose weights none of the losses uses.

    Raises:
        ConfigError: names the sampler.
    """
    if head.sampler is None or isinstance(head, PointHead):
        return
    key = f'model.segmentor.{path}.sampler'
    name = type(head.sampler).__name__
    logits, labels = _sample(head)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            head.sampler.sample(logits.detach(), labels[:, None])
    except Exception as error:  # a sampler may be third-party code
        message = f'{name} fails on sample logits and labels: {one_line(error)}'
        raise ConfigError(key, message) from error
    half = (torch.arange(labels.numel()) % 2).view(labels.shape).float()
    if all(trial.compute(half) == trial.value for trial in trials):
        losses = ', '.join(trial.name for trial in trials)
        raise ConfigError(key, f'{name} has no effect: {losses} does not weight pixels; remove it')


def _sample(head: BaseDecodeHead) -> tuple[Tensor, Tensor]:
    """Return logits `[B, C, H, W]` and labels `[B, H, W]` of all classes, the first label ignored.

    For a `PointHead` the pixels become points, `[B, C, P]` and `[B, P]`.
    """
    taken = {head.out_channels, head.num_classes}
    batch = next(number for number in (2, 3, 5) if number not in taken)
    height, width = [prime for prime in _PRIMES if prime not in taken][:2]
    logits = torch.linspace(-1, 1, batch * head.out_channels * height * width)
    logits = logits.view(batch, head.out_channels, height, width).requires_grad_()
    labels = torch.arange(batch * height * width).remainder(head.num_classes).view(batch, height, width)
    labels[:, 0, 0] = head.ignore_index
    return (logits.flatten(2), labels.flatten(1)) if isinstance(head, PointHead) else (logits, labels)
