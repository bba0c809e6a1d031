"""Losses in float32 under mixed precision, as mmseg's own mixed precision computes them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, nn


def keep_losses_in_float32(segmentor: nn.Module) -> None:
    """Make every head resize its logits and compute its losses in float32, whatever autocast is active.

    mmseg marks `losses` with mmcv's `force_fp32`, which has no effect under torch's autocast. In 16 bits, the
    gradients of all pixels that one logit is resized to would be summed in 16 bits, and large logits overflow.

    Args:
        segmentor: an mmseg segmentor; its heads get an attribute that survives `copy.deepcopy` and pickle.
    """
    for head in segmentor.modules():
        if callable(getattr(head, 'losses', None)):
            head.losses = partial(_losses_in_float32, head)  # type: ignore[assignment]


def _losses_in_float32(head: Any, *inputs: Any, **named: Any) -> Any:
    """Call the `losses` of a head's class."""
    single = partial(apply_to_collection, dtype=Tensor, function=_in_float32)
    with torch.autocast(_device_type(inputs, named), enabled=False):
        return type(head).losses(head, *single(inputs), **single(named))


def _in_float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _device_type(*inputs: Any) -> str:
    """Return the type of the device of the first tensor in a collection."""
    devices: list[str] = []
    apply_to_collection(inputs, Tensor, lambda tensor: devices.append(tensor.device.type))
    return next(iter(devices), 'cpu')
