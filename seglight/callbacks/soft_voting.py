"""Several checkpoints that predict together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.ensemble import READ_ONCE
from seglight.config.class_names import order_of
from seglight.config.settings import without_tuples
from seglight.errors import CheckpointError, UsageError, warn
from seglight.models.inference.module import PredictingModule, needs_segmentor
from seglight.models.inference.options import Options
from seglight.voting import vote_weights


class SoftVoting(Callback):
    """Averages the class probabilities of the module with those of other checkpoints, in one pass over the data.

    For `validate`, `test` and `predict`. The architectures, the normalisation and the order of the classes may differ
    between checkpoints. Test-time augmentation applies to all. The module must be a `seglight.models.Segmentor`.

    Args:
        checkpoints: the other checkpoints; they must have the classes of the module.
        weights: a positive number for the module, then one for each other checkpoint; equal by default.
        trust_checkpoint: whether the files are your own; they may then name classes of any package.

    Raises:
        UsageError: for wrong weights.
    """

    def __init__(
        self, checkpoints: Sequence[str], weights: Sequence[float] | None = None, trust_checkpoint: bool = False
    ) -> None:
        self.trust_checkpoint = trust_checkpoint
        self.checkpoints = [Path(each) for each in checkpoints]
        valid = vote_weights(weights, len(checkpoints) + 1)
        if valid is None:
            raise UsageError(
                f'--ckpt-weights must be a positive number for each of the {len(checkpoints) + 1} checkpoints, '
                f'got {weights}'
            )
        self.weights = valid
        self._models: list[PredictingModule] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the other checkpoints.

        Raises:
            CheckpointError: if one cannot be loaded or has different classes.
        """
        if stage == 'fit':
            return
        classes: Any = needs_segmentor(pl_module).classes
        for path in self.checkpoints:
            other = load_voter(Checkpoint(path, self.trust_checkpoint), classes, trainer)
            self._models.append(other.to(trainer.strategy.root_device))

    def adapt(self, options: Options, stage: str) -> Options:
        """Add the other models and all weights."""
        if stage == 'fit':
            return options
        own, *weights = self.weights
        return replace(options, ensemble=list(zip(self._models, weights, strict=True)), weight=own)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Free the memory of the other models."""
        self._models = []


def load_voter(checkpoint: Checkpoint, classes: list[str], trainer: Trainer) -> PredictingModule:
    """Load a checkpoint that votes with others, on the CPU and in eval mode; its classes get their order.

    Warns if its own images were read otherwise.

    Raises:
        CheckpointError: if it cannot be loaded or has different classes.
    """
    module = checkpoint.module()
    if order := order_of(module.classes, classes):
        module.reorder(order)
    elif module.classes != classes:
        raise CheckpointError(f'{checkpoint.path} must have the same classes as the first checkpoint')
    stored = checkpoint.stored(('data',), required=False, purpose='prediction').settings.values.get('data') or {}
    data = getattr(trainer, 'datamodule', None)
    for name in READ_ONCE:
        known = name in stored and hasattr(data, name)
        if known and (stored[name] or None) != (without_tuples(getattr(data, name)) or None):
            text = 'but an ensemble reads each image once, for all checkpoints as for the first'
            rank_zero_only(warn)(f'{checkpoint.path} was trained with another data.{name}, {text}')
    return module
