"""Where a run is: its optimizer steps, the end of its epoch, and whether it goes on from a checkpoint."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import GradientAccumulationScheduler


def accumulated_batches(trainer: Trainer, epoch: int) -> int:
    """Return how many batches give one optimizer step in an epoch, from 0, by the trainer or by its callback."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    for callback in callbacks:
        if isinstance(callback, GradientAccumulationScheduler):
            return int(callback.get_accumulate_grad_batches(epoch))
    return int(trainer.accumulate_grad_batches)


def steps_before(trainer: Trainer, epoch: int, batches: int = 0) -> int:
    """Return the optimizer steps of the epochs before one, from 0, and of its first batches.

    The last batch of an epoch always ends a step, as Lightning has it.
    """
    of: Any = trainer.num_training_batches
    whole: int = sum(math.ceil(of / accumulated_batches(trainer, each)) for each in range(epoch))
    return whole + batches // accumulated_batches(trainer, epoch)


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
