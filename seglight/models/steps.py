"""How many optimizer steps a run is going to take."""

from __future__ import annotations

import math

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from seglight.errors import ConfigError


def accumulated(trainer: Trainer, epoch: int) -> int:
    """Return the batches of an optimizer step in an epoch, counted from 0."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, GradientAccumulationScheduler):
            return int(callback.get_accumulate_grad_batches(epoch))
    return trainer.accumulate_grad_batches


def planned_steps(trainer: Trainer) -> int:
    """Return the optimizer steps of a whole run, also where epochs accumulate different numbers of batches.

    Lightning's own `estimated_stepping_batches` takes the number of the first epoch for that of all.

    Raises:
        ConfigError: for a run without an end.
    """
    steps = trainer.estimated_stepping_batches
    if steps == float('inf'):
        raise ConfigError('the schedule decays over the run: give --trainer.max_epochs or --trainer.max_steps')
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    if epochs in (None, -1) or batches == float('inf'):
        return int(steps)
    counted = sum(math.ceil(batches / accumulated(trainer, epoch)) for epoch in range(max(1, epochs)))
    return counted if trainer.max_steps == -1 else min(counted, trainer.max_steps)


def steps_of_an_epoch(trainer: Trainer, by_epoch: bool) -> int:
    """Return the optimizer steps of an epoch, of the first where they differ.

    Args:
        trainer: whose batches are known.
        by_epoch: whether the schedule counts epochs.

    Raises:
        ConfigError: for a schedule that counts epochs where these have different numbers of steps.
    """
    epochs = range(max(1, trainer.max_epochs or 1))
    if by_epoch and len({accumulated(trainer, epoch) for epoch in epochs}) > 1:
        raise ConfigError(
            'model.schedule counts epochs (by_epoch or warmup_by_epoch), to which GradientAccumulationScheduler gives '
            'different numbers of steps; count steps, by by_epoch: false',
            ('trainer', 'callbacks'),
        )
    batches = min(trainer.num_training_batches, planned_steps(trainer) * accumulated(trainer, 0))
    return math.ceil(batches / accumulated(trainer, 0))
