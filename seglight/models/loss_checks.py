"""Whether the losses of a segmentor's heads can be computed and count, seen before any data is read."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from seglight.config.settings import Key
from seglight.errors import ConfigError, UserError, one_line
from seglight.models.losses import ClassPathLoss

#: What torch's regression losses warn of before they broadcast labels over the logits.
_BROADCAST = 'Using a target size'


def check_losses(segmentor: BaseSegmentor) -> None:
    """Refuse a head without a loss, a loss that fails on logits and labels, and losses of which none counts.

    Raises:
        ConfigError: names the loss and its reason.
    """
    names = []
    for path, head in segmentor.named_modules():
        if not isinstance(head, BaseDecodeHead) or not hasattr(head, 'loss_decode'):
            continue
        key = ('model', 'segmentor', *path.split('.'), 'loss_decode')
        several = isinstance(head.loss_decode, nn.ModuleList)
        losses = list(head.loss_decode) if several else [head.loss_decode]
        if not losses:
            raise ConfigError(f'{".".join(key)} is empty: the head needs a loss to train', key)
        for index, loss in enumerate(losses):
            if type(head).__module__.startswith('mmseg.'):  # others may call their losses with anything
                _try(loss, head, (*key, str(index)) if several else key)
            names.append(loss.loss_name)
    if names and not any('loss' in name for name in names):
        message = f"no loss counts: mmseg sums those with 'loss' in their loss_name, and these are {', '.join(names)}"
        raise ConfigError(message, ('model', 'segmentor'))


def _try(loss: Any, head: BaseDecodeHead, key: Key) -> None:
    """Compute a copy of a loss as its head would, on a small sample; the copy keeps what it counts to itself."""
    factor = getattr(loss, 'loss_weight', 1.0)
    if not isinstance(factor, (int, float)):
        raise ConfigError(f'{".".join(key)}.loss_weight is a number, not {factor!r}', (*key, 'loss_weight'))
    logits, labels = _sample(head)
    weight = None if head.sampler is None else torch.ones(labels.shape)
    name = loss.path if isinstance(loss, ClassPathLoss) else type(loss).__name__
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            warnings.filterwarnings('error', _BROADCAST)
            copy.deepcopy(loss)(logits, labels, weight=weight, ignore_index=head.ignore_index).mean()
    except UserError as error:
        raise ConfigError(f'{".".join(key)}: {error}', key) from error
    except Exception as error:  # a loss may be anyone's
        message = f'{".".join(key)}: {name} fails on logits and the labels of their pixels: {one_line(error)}'
        raise ConfigError(message, key) from error


def _sample(head: BaseDecodeHead, side: int = 32) -> tuple[Tensor, Tensor]:
    """Return logits `[2, C, side, side]` and labels `[2, side, side]` of all classes, the first of them ignored."""
    logits = torch.linspace(-1, 1, 2 * head.out_channels * side * side).view(2, head.out_channels, side, side)
    labels = torch.arange(2 * side * side).remainder(head.num_classes).view(2, side, side)
    labels[:, 0, 0] = head.ignore_index
    return logits, labels
