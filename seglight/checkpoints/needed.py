"""Select the settings of a checkpoint that predictions need: no optimizer, losses or training transforms."""

from __future__ import annotations

from typing import Any

from seglight.models.without_losses import without_losses

#: The keys of each group that only training needs.
TRAINING = {
    'model': ('optimizer', 'schedule', 'frozen', 'non_finite'),
    'data': ('train_transforms', 'device_transforms', 'mixes', 'class_balance', 'cache'),
}


def without_training(values: dict[str, Any]) -> dict[str, Any]:
    """Return settings without those that only training needs: their classes may be missing or fail the gate."""
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
