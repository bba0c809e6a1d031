"""Class weights of mmseg's losses that stay on the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

_BUFFER = 'class_weight_on_device'


class DeviceWeights:
    """The attribute `class_weight` of a loss: a list, kept as a buffer on the device as well.

    mmseg's losses copy the list in every step, and the host waits for the device before each such copy. Checkpoints do
    not contain the buffer, since the weights come from the config or the data.
    """

    def __get__(self, loss: nn.Module | None, owner: type) -> Any:
        return self if loss is None else loss.__dict__.get('class_weight')

    def __set__(self, loss: nn.Module, weights: Sequence[float] | None) -> None:
        loss.__dict__['class_weight'] = weights
        tensor = None if weights is None else torch.as_tensor(weights, dtype=torch.float32)
        before = getattr(loss, _BUFFER, None)
        if tensor is not None and before is not None:
            tensor = tensor.to(before.device)
        loss.register_buffer(_BUFFER, tensor, persistent=False)


def device_weights(loss: nn.Module, like: Tensor) -> Tensor | None:
    """Return the weights of a loss that has `DeviceWeights`, `[C]` with the dtype of a tensor; None without weights."""
    weights: Tensor | None = getattr(loss, _BUFFER)
    return None if weights is None else weights.to(like)
