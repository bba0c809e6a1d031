"""Select the settings of a checkpoint that predictions need: no optimizer, losses or training transforms."""

from __future__ import annotations

from typing import Any

from seglight.models.without_losses import without_losses

#: The keys of each group that only training needs.
TRAINING = {
    'model': ('optimizer', 'schedule', 'frozen', 'non_finite'),
    'data': ('train_transforms', 'device_transforms', 'mixes', 'class_balance', 'cache'),
}


def without_training(values: dict[str, Any], val_loss: bool | None = False) -> dict[str, Any]:
    """Return settings without those that only training needs: their classes may be missing or fail the gate.

    Args:
        values: the settings.
        val_loss: whether a validation loss needs the losses; None if `model.val_loss` says so.
    """
    kept = {
        group: {name: value for name, value in inner.items() if name not in TRAINING[group]}
        if group in TRAINING and isinstance(inner, dict)
        else inner
        for group, inner in values.items()
    }
    model = kept.get('model')
    if not isinstance(model, dict):
        return kept
    if val_loss is None:
        val_loss = model.get('val_loss') is True
    if not val_loss:
        model.pop('val_loss', None)
        if isinstance(model.get('segmentor'), dict):
            model['segmentor'] = without_losses(model['segmentor'])
    return kept
