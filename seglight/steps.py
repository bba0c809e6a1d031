"""The optimizer steps of a run, where it is in its epoch, and whether it goes on from a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from seglight.errors import ConfigError, UsageError


def accumulated_batches(trainer: Trainer, epoch: int) -> int:
    """Return how many batches give one optimizer step in an epoch, from 0, by the trainer or by its callback."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    for callback in callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            return int(callback.get_accumulate_grad_batches(epoch))
    return int(trainer.accumulate_grad_batches)


def planned_steps(trainer: Trainer) -> int:
    """Return the optimizer steps of a whole run, also where epochs accumulate different numbers of batches.

    Lightning's own `estimated_stepping_batches` takes the number of the first epoch for that of all.

    Raises:
        ConfigError: for a run without an end.
    """
    steps = trainer.estimated_stepping_batches
    if steps == float('inf'):
        raise UsageError('the schedule decays over the run: give --trainer.max_epochs or --trainer.max_steps')
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    if epochs in (None, -1) or batches == float('inf'):
        return int(steps)
    counted = sum(math.ceil(batches / accumulated_batches(trainer, epoch)) for epoch in range(max(1, epochs)))
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
    if by_epoch and len({accumulated_batches(trainer, epoch) for epoch in epochs}) > 1:
        raise ConfigError(
            'model.schedule',
            'must count steps (by_epoch: false, warmup_by_epoch: false), since GradientAccumulationScheduler gives '
            'epochs different numbers of them',
        )
    batches = min(trainer.num_training_batches, planned_steps(trainer) * accumulated_batches(trainer, 0))
    return math.ceil(batches / accumulated_batches(trainer, 0))


def steps_before(trainer: Trainer, epoch: int, batches: int = 0) -> int:
    """Return the optimizer steps of the epochs before one, from 0, and of its first batches.

    The last batch of an epoch always ends a step, as Lightning has it.
    """
    of: Any = trainer.num_training_batches
    whole: int = sum(math.ceil(of / accumulated_batches(trainer, each)) for each in range(epoch))
    return whole + batches // accumulated_batches(trainer, epoch)


def counts_steps(trainer: Trainer) -> bool:
    """Tell whether the length of a run is a number of steps."""
    return trainer.max_steps != -1


def epochs_done(trainer: Trainer) -> int:
    """Return how many epochs have ended, including the one whose `on_train_epoch_end` runs."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def is_last_epoch(trainer: Trainer) -> bool:
    """Tell, at the end of an epoch, whether the run ends with it."""
    by_steps = 0 < trainer.max_steps <= trainer.global_step
    return trainer.should_stop or by_steps or epochs_done(trainer) == trainer.max_epochs


def epoch_is_cut(trainer: Trainer) -> bool:
    """Tell, at the end of an epoch, whether batches of it are left: `max_steps` or a callback ended the run."""
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress
    epochs: Any = trainer.fit_loop.epoch_progress.current
    ended = epochs.processed == epochs.started
    return bool(ended and not batches.is_last_batch and 0 < batches.current.processed < trainer.num_training_batches)


def resumes(trainer: Trainer | None) -> bool:
    """Tell whether a run goes on from a checkpoint; Lightning's finders restore from hidden ones of their own."""
    path = trainer.ckpt_path if trainer else None
    return bool(path) and not Path(str(path)).name.startswith('.')
