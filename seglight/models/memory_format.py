"""torch's channels-last memory format: which models gain by it on a CPU, and what keeps it safe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

#: The packages of models that are faster in channels-last on average, see `scripts/bench/memory_format.py`.
_MEASURED = ('torch', 'mmcv', 'mmseg', 'seglight')

#: Parts that are no faster with channels-last features, or that take only contiguous ones.
_CONTIGUOUS = frozenset({'ConvAWS2d', 'ConvWS2d', 'DCM', 'ResNeSt', 'SwinTransformer'})


def set_memory_format(segmentor: nn.Module, channels_last: bool | None) -> bool:
    """Set the memory format of a segmentor's weights, and return whether it is channels-last.

    Args:
        segmentor: changed in place.
        channels_last: whether to use channels-last; None to use it on a machine without a GPU for most models of mmseg.
    """
    if channels_last is None:
        channels_last = not torch.accelerator.is_available() and _gains(segmentor)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    segmentor.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch has no type of this argument
    for part in segmentor.modules() if channels_last else ():
        if isinstance(part, nn.GroupNorm):
            part.register_forward_pre_hook(_contiguous_without_gradient)
    return channels_last


def _gains(segmentor: nn.Module) -> bool:
    """Return whether a segmentor has only parts of measured packages, and none that is to stay contiguous."""
    kinds = {type(part) for part in segmentor.modules()}
    measured = nn.Conv2d in kinds and all(kind.__module__.partition('.')[0] in _MEASURED for kind in kinds)
    return measured and _CONTIGUOUS.isdisjoint(kind.__name__ for kind in kinds)


def _contiguous_without_gradient(_: nn.GroupNorm, inputs: tuple[Any, ...]) -> tuple[Tensor, ...] | None:
    """Return the input of a GroupNorm as contiguous if it needs no gradient but the norm's weights do.

    The gradient of the weights alone, as behind frozen layers, ends the process on a CPU if the input is channels-last
    (torch 2.13): its kernel writes the gradient of the input all the same.
    """
    image = inputs[0]
    needless = image.requires_grad or not torch.is_grad_enabled() or image.is_contiguous()
    return None if needless else (image.contiguous(),)
