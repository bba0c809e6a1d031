"""What Lightning and its callbacks do not bring back from a checkpoint, or bring back over the config in force."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import (
    BatchSizeFinder,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateFinder,
    StochasticWeightAveraging,
)
from pytorch_lightning.callbacks.early_stopping import EarlyStoppingReason

from seglight.console import labelled

FINDERS = (BatchSizeFinder, LearningRateFinder)

#: The patience that the config gives to each callback that stops early.
Patience = dict[EarlyStopping, int]


def recounted(trainer: Trainer, checkpoint: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    """Count the batches of the epoch that is under way as this run does, and return what there is to tell.

    Args:
        trainer: of this run, whose data module knows where it is (see `seglight.data.position`).
        checkpoint: whose counters are changed.
        stored: the entry of `ExactResume`.
    """
    said = []
    before, now = stored.get('world_size', trainer.world_size), trainer.world_size
    done = checkpoint['loops']['fit_loop']['epoch_loop.batch_progress']
    count = done['current']['processed'] * before // now
    data: Any = getattr(trainer, 'datamodule', None)
    old, new = getattr(data, 'stored_position', None), getattr(data, 'position', None)
    if old is not None and new is not None:
        count = new.batches if old.batches else count
        if (old.of, old.batch_size, old.batches) != (new.of, new.batch_size, new.batches):
            place = f', goes on after batch {new.batches} of epoch {new.epoch + 1}' if old.batches else ''
            said.append(
                f'The checkpoint is of a run with {old.of} batches of {old.batch_size} images in an epoch, this one '
                f'has {new.of} of {new.batch_size}{place}'
            )
    if count != done['current']['processed']:
        done['current'] = dict.fromkeys(done['current'], count)
        done['is_last_batch'] = done['is_last_batch'] and not (new and old and old.batches)
    if before != now:
        said.append(
            f'The checkpoint is of a run with {before} processes, this one has {now}: '
            'samples come in another order, and random numbers differ, than in a run that was never stopped'
        )
    return said


def without_finders(trainer: Trainer, module: LightningModule) -> list[str]:
    """Leave out Lightning's finders, whose results are in the checkpoint, and return what there is to tell.

    A subclass that searches at other times than the start of a run stays.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    starts = {kind.on_fit_start for kind in FINDERS}
    found = [each for each in callbacks if isinstance(each, FINDERS) and type(each).on_fit_start in starts]
    trainer.callbacks = [each for each in callbacks if each not in found]  # type: ignore[attr-defined]
    results = []
    for finder in found:
        rate, size = getattr(module, 'lr', None), getattr(getattr(trainer, 'datamodule', None), 'batch_size', None)
        result = (
            f'learning rate {rate:.4g}' if isinstance(finder, LearningRateFinder) and rate else f'batch size {size}'
        )
        results.append(labelled('Left out', f'{type(finder).__name__}: the run goes on with the {result}'))
    return results


def check_after_validation(trainer: Trainer) -> None:
    """Let callbacks that stop early look at a figure of a validation when that ends, not when an epoch ends.

    An epoch that `max_steps` or a signal cuts has no validation, and an old figure would count as one without progress.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, EarlyStopping) and callback.monitor.startswith('val/'):
            callback._check_on_train_epoch_end = False


def patience(trainer: Trainer) -> Patience:
    """Return the patience of each callback that stops early, before it takes that of the checkpoint."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return {each: each.patience for each in callbacks if isinstance(each, EarlyStopping)}


def keep_patience(trainer: Trainer, before: Patience, stopped: bool) -> None:
    """Give callbacks that stop early the patience of the config, and stop again where that is at its end.

    Args:
        trainer: of the run that goes on.
        before: from `patience`.
        stopped: whether the run had been asked to stop when the checkpoint was written.
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
    """Let schedules that can go to a step (`MmcvSchedule`) go there."""
    for config in trainer.lr_scheduler_configs:
        if hasattr(config.scheduler, 'move_to'):
            config.scheduler.move_to(step)


def begin_epoch_again(trainer: Trainer, module: LightningModule) -> None:
    """Let callbacks whose state is made at the start of an epoch make it, where a run goes on within one."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    for callback in callbacks:
        if isinstance(callback, (GradientAccumulationScheduler, StochasticWeightAveraging)):
            callback.on_train_epoch_start(trainer, module)


def averaging_rates(trainer: Trainer) -> list[float] | None:
    """Return the rates of the groups where `StochasticWeightAveraging` has begun; to be set up again changes them."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    begun = any(isinstance(each, StochasticWeightAveraging) and each._scheduler_state for each in callbacks)
    return [group['lr'] for group in trainer.optimizers[0].param_groups] if begun else None


def plan_again(trainer: Trainer) -> None:
    """Make optimizer and schedule anew where `BatchSizeFinder` has just changed the number of steps."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if trainer.global_step == 0 and any(isinstance(each, BatchSizeFinder) for each in callbacks):
        trainer.strategy.setup_optimizers(trainer)
