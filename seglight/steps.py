"""Optimizer steps of a run, its position in the epoch, and whether it resumes from a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from seglight.errors import ConfigError, UsageError
from seglight.trainer_callbacks import find_callback


def accumulated_batches(trainer: Trainer, epoch: int) -> int:
    """Return how many batches the trainer or its callback accumulates for a step in an epoch, counted from 0."""
    scheduler = find_callback(trainer, GradientAccumulationScheduler)
    return int(scheduler.get_accumulate_grad_batches(epoch) if scheduler else trainer.accumulate_grad_batches)


def planned_steps(trainer: Trainer) -> int:
    """Return the optimizer steps of the whole run, even if epochs accumulate different numbers of batches.

    Lightning's own `estimated_stepping_batches` assumes the number of the first epoch for all epochs.

    Raises:
        UsageError: if the length of the run is unlimited.
    """
    steps = trainer.estimated_stepping_batches
    if steps == float('inf'):
        raise UsageError(
            'the schedule depends on the length of the run; set --trainer.max_epochs or --trainer.max_steps'
        )
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    if epochs in (None, -1) or batches == float('inf'):
        return int(steps)
    counted = sum(math.ceil(batches / accumulated_batches(trainer, epoch)) for epoch in range(max(1, epochs)))
    return counted if trainer.max_steps == -1 else min(counted, trainer.max_steps)


def steps_of_an_epoch(trainer: Trainer, by_epoch: bool) -> int:
    """Return the optimizer steps of an epoch; of the first, if they differ.

    Args:
        trainer: must know its number of batches.
        by_epoch: whether the schedule counts epochs.

    Raises:
        ConfigError: if the schedule counts epochs, and these have different numbers of steps.
    """
    epochs = range(max(1, trainer.max_epochs or 1))
    if by_epoch and len({accumulated_batches(trainer, epoch) for epoch in epochs}) > 1:
        raise ConfigError(
            'model.schedule',
            'must count steps (by_epoch: false, warmup_by_epoch: false), since GradientAccumulationScheduler gives '
            'epochs different numbers of them',
        )
    batches = min(trainer.num_training_batches, planned_steps(trainer) * accumulated_batches(trainer, 0))
    return math.ceil(batches / accumulated_batches(trainer, 0))


def steps_before(trainer: Trainer, epoch: int, batches: int = 0) -> int:
    """Return the optimizer steps before an epoch (counted from 0), plus those of its first `batches` batches.

    The last batch of an epoch always completes a step, as in Lightning.
    """
    per_epoch: Any = trainer.num_training_batches
    steps: int = sum(math.ceil(per_epoch / accumulated_batches(trainer, each)) for each in range(epoch))
    return steps + batches // accumulated_batches(trainer, epoch)


def counts_steps(trainer: Trainer) -> bool:
    """Return whether the length of the run is set in steps."""
    return trainer.max_steps != -1


def epochs_done(trainer: Trainer) -> int:
    """Return how many epochs have ended, including the one whose `on_train_epoch_end` runs."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def is_last_epoch(trainer: Trainer) -> bool:
    """Return, at the end of an epoch, whether it is the last one of the run."""
    by_steps = 0 < trainer.max_steps <= trainer.global_step
    return trainer.should_stop or by_steps or epochs_done(trainer) == trainer.max_epochs


def epoch_is_cut(trainer: Trainer) -> bool:
    """Return, at the end of an epoch, whether `max_steps` or a callback ended the run before its last batch."""
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress
    epochs: Any = trainer.fit_loop.epoch_progress.current
    ended = epochs.processed == epochs.started
    return bool(ended and not batches.is_last_batch and 0 < batches.current.processed < trainer.num_training_batches)


def resumes(trainer: Trainer | None) -> bool:
    """Return whether a run resumes from a checkpoint, other than the hidden ones of Lightning's finders."""
    path = trainer.ckpt_path if trainer else None
    return bool(path) and not Path(str(path)).name.startswith('.')
