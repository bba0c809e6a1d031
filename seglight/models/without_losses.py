"""Models that only predict: model dicts and state dicts without losses."""

from __future__ import annotations

from typing import Any

from torch import nn

#: Part of the name of a loss's entries in a state dict.
LOSS = '.loss_decode.'


def without_losses(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model dict with mmseg's plainest loss in place of the others, because heads need a loss.

    Pixel samplers, which weight pixels for the loss, are dropped too.
    """
    model = {**model}
    for key in ('decode_head', 'auxiliary_head'):
        if key in model:
            model[key] = _without_losses(model[key])
    return model


def _without_losses(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_without_losses(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {name: _without_losses(inner) for name, inner in value.items() if name not in ('loss_decode', 'sampler')}
    if 'loss_decode' in value:
        kept['loss_decode'] = plainest_loss(value)
    return kept


def plainest_loss(head: dict[str, Any]) -> dict[str, Any]:
    """Return the loss for a head that will not be trained."""
    return {'type': 'CrossEntropyLoss', 'use_sigmoid': head.get('out_channels') == 1}


def drop_unknown_losses(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Drop entries of losses that the heads do not have from a state dict: prediction needs none."""
    own = {f'{prefix}{name}' for name in module.state_dict()}
    for name in [name for name in state if LOSS in name and name not in own]:
        del state[name]
