"""Class weights computed from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_only

from seglight.console import labelled
from seglight.errors import UsageError, say
from seglight.models.losses import balanced_weights


def balance(losses: Sequence[Any], trainer: Trainer, classes: Sequence[str]) -> None:
    """Set the weights of losses with `class_weight: balanced` from the pixels of the training masks, and print them.

    Raises:
        UsageError: if there are losses, but the trainer has no data module that counts pixels.
    """
    if not losses:
        return
    datamodule: Any = getattr(trainer, 'datamodule', None)
    if not hasattr(datamodule, 'class_pixels'):
        raise UsageError('class_weight: balanced needs a SegmentationDataModule, to count the pixels of its masks')
    weights = balanced_weights(torch.from_numpy(datamodule.class_pixels()))
    for loss in losses:
        loss.class_weight = weights
    named = ', '.join(f'{name} {weight:.2f}' for name, weight in zip(classes, weights, strict=True))
    rank_zero_only(say)(labelled('Weights', named))
