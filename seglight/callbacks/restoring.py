"""Restore what Lightning and its callbacks do not, and undo what they restore over the current config."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from seglight.console import labelled
from seglight.trainer_callbacks import callbacks_of, find_callback, find_callbacks

FINDERS = (BatchSizeFinder, LearningRateFinder)

#: The patience in the config for each callback that stops early.
Patience = dict[EarlyStopping, int]


def recounted(trainer: Trainer, checkpoint: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Convert the checkpoint's count of batches in the current epoch to this run's batches, and return messages.

    Args:
        trainer: the trainer of this run; its data module knows the position (see `seglight.data.position`).
        checkpoint: the checkpoint; its counters are changed in place.
        stored: the entry of `ExactResume`.
    """
    messages = []
    before, now = stored.get('world_size', trainer.world_size), trainer.world_size
    done = checkpoint['loops']['fit_loop']['epoch_loop.batch_progress']
    count = done['current']['processed'] * before // now
    data: Any = getattr(trainer, 'datamodule', None)
    old, new = getattr(data, 'stored_position', None), getattr(data, 'position', None)
    if old is not None and new is not None:
        count = new.batches if old.batches else count
        if (old.of, old.batch_size, old.batches) != (new.of, new.batch_size, new.batches):
            place = f'; it resumes after batch {new.batches} of epoch {new.epoch + 1}' if old.batches else ''
            messages.append(
                f'The run of the checkpoint had {old.of} batches of {old.batch_size} images in an epoch, this run '
                f'has {new.of} of {new.batch_size}{place}'
            )
    if count != done['current']['processed']:
        done['current'] = dict.fromkeys(done['current'], count)
        done['is_last_batch'] = done['is_last_batch'] and not (new and old and old.batches)
    if before != now:
        messages.append(
            f'The run of the checkpoint had {before} processes, this run has {now}: the order of the samples and '
            'the random numbers differ from those of an uninterrupted run'
        )
    return messages


def without_finders(trainer: Trainer, module: LightningModule) -> list[str]:
    """Remove Lightning's finders, whose results are in the checkpoint, and return messages.

    Keep a subclass that does not search at the start of a run.
    """
    callbacks = callbacks_of(trainer)
    starts = {kind.on_fit_start for kind in FINDERS}
    finders = [each for each in callbacks if isinstance(each, FINDERS) and type(each).on_fit_start in starts]
    trainer.callbacks = [each for each in callbacks if each not in finders]  # type: ignore[attr-defined]
    messages = []
    for finder in finders:
        rate, size = getattr(module, 'lr', None), getattr(getattr(trainer, 'datamodule', None), 'batch_size', None)
        result = (
            f'learning rate {rate:.4g}' if isinstance(finder, LearningRateFinder) and rate else f'batch size {size}'
        )
        messages.append(labelled('Skipped', f'{type(finder).__name__}: the run continues with the {result}'))
    return messages


def check_after_validation(trainer: Trainer) -> None:
    """Make callbacks that stop early check a validation metric after the validation, not at the end of the epoch.

    An epoch cut short by `max_steps` or a signal has no validation, so the previous value would be counted again, as
    one without improvement.
    """
    for callback in find_callbacks(trainer, EarlyStopping):
        if callback.monitor.startswith('val/'):
            callback._check_on_train_epoch_end = False


def patience(trainer: Trainer) -> Patience:
    """Return the patience of each callback that stops early, before the checkpoint's patience replaces it."""
    return {each: each.patience for each in find_callbacks(trainer, EarlyStopping)}


def keep_patience(trainer: Trainer, before: Patience, stopped: bool) -> None:
    """Reset the patience of callbacks that stop early to the config's, and stop again if it is exhausted.

    Args:
        trainer: the trainer of the resumed run.
        before: the result of `patience`.
        stopped: whether the run was about to stop when the checkpoint was written.
    """
    for callback, own in before.items():
        callback.patience = own
        exhausted = callback.wait_count >= own
        other = callback.stopping_reason not in (
            EarlyStoppingReason.NOT_STOPPED,
            EarlyStoppingReason.PATIENCE_EXHAUSTED,
        )
        trainer.should_stop |= stopped and (exhausted or other)


def move_schedules(trainer: Trainer, step: int) -> None:
    """Move schedules that support it (`MmcvSchedule`) to a step."""
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, 'move_to'):
            config.scheduler.move_to(step)


def begin_epoch_again(trainer: Trainer, module: LightningModule) -> None:
    """Initialise callbacks that do so at the start of an epoch, when a run resumes within one."""
    for callback in callbacks_of(trainer):
        if isinstance(callback, (GradientAccumulationScheduler, StochasticWeightAveraging)):
            callback.on_train_epoch_start(trainer, module)


def averaging_rates(trainer: Trainer) -> list[float] | None:
    """Return the rate of each parameter group if weight averaging has begun, since its setup changes them."""
    begun = any(each._scheduler_state for each in find_callbacks(trainer, StochasticWeightAveraging))
    return [group['lr'] for group in trainer.optimizers[0].param_groups] if begun else None


def plan_again(trainer: Trainer) -> None:
    """Build optimizer and schedule again if `BatchSizeFinder` may have changed the number of steps."""
    if trainer.global_step == 0 and find_callback(trainer, BatchSizeFinder) is not None:
        trainer.strategy.setup_optimizers(trainer)
