"""What of a checkpoint's settings predictions need: neither optimizer nor losses nor the transforms of training."""

from __future__ import annotations

from typing import Any

#: What of each group says how to train.
TRAINING = {
    'model': ('optimizer', 'schedule', 'frozen', 'non_finite'),
    'data': ('train_transforms', 'mixes', 'class_balance', 'cache'),
}

#: Part of the name of what a loss keeps in a state dict.
LOSS = '.loss_decode.'


def without_training(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings without what only training needs, so that it need not be installed, nor pass the gate."""
    kept = {
        group: {name: value for name, value in inner.items() if name not in TRAINING[group]}
        if group in TRAINING and isinstance(inner, dict)
        else inner
        for group, inner in values.items()
    }
    model = kept.get('model')
    if isinstance(model, dict) and isinstance(model.get('segmentor'), dict):
        model['segmentor'] = without_losses(model['segmentor'])
    return kept


def without_losses(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model dict with mmseg's plainest loss in each head that names another; heads cannot be without.

    A sampler of pixels, which weighs them for the loss, is left out too.
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
        kept['loss_decode'] = {'type': 'CrossEntropyLoss', 'use_sigmoid': value.get('out_channels') == 1}
    return kept
