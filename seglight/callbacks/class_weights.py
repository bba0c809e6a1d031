"""Class weights computed from the data."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.console import labelled
from seglight.data.splits import pixels_of
from seglight.errors import UsageError, say
from seglight.models import Segmentor
from seglight.models.losses import balanced_weights
from seglight.models.recipe import Recipe


class BalancedClassWeights(Callback):
    """Counts the pixels of each class in the training masks, for losses with `class_weight: balanced`.

    It counts the masks as stored in their files, before augmentation. It skips unreadable masks, since the data
    module reports them. Needs a `SegmentationDataModule`; does nothing for a module that is not a `Segmentor`.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Count the pixels, and set the weights of the losses that need them.

        Raises:
            UsageError: if the trainer has no data module.
        """
        if stage != 'fit' or not isinstance(pl_module, Segmentor):
            return
        losses = Recipe(pl_module.hparams['segmentor']).balanced_losses(pl_module.segmentor)
        if not losses:
            return
        datamodule: Any = getattr(trainer, 'datamodule', None)
        if datamodule is None:
            raise UsageError('class_weight: balanced needs a SegmentationDataModule, to count the pixels of its masks')
        pixels = pixels_of(datamodule.datasets['train'].samples, len(pl_module.classes)).sum(0)
        weights = balanced_weights(torch.from_numpy(pixels))
        for loss in losses:
            loss.class_weight = weights
        if trainer.is_global_zero:
            named = ', '.join(f'{name} {weight:.2f}' for name, weight in zip(pl_module.classes, weights, strict=True))
            say(labelled('Weights', named))
