"""Ending a run between two steps when its time is up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer

from seglight.callbacks.checkpoints.interval import IntervalCheckpoint
from seglight.callbacks.signals import interrupt
from seglight.errors import ConfigError


class TimeLimit(Timer):
    """Lightning's `Timer`, which saves and ends the run as a signal does (see `StopBySignal`).

    Lightning's own ends the epoch early: a run that resumes there would skip the rest of its samples.
    The time counts from the start of training, over all parts of a run that was stopped.

    Args:
        duration: of the training.

    Raises:
        Interrupted: when the time is up and the checkpoint is written.
        ConfigError: if the run goes on from a checkpoint that has used up the time.
    """

    def __init__(self, duration: timedelta) -> None:
        super().__init__(duration, verbose=False)
        self.duration = duration

    @property
    def state_key(self) -> str:
        """That of Lightning's `Timer`, whose place it takes."""
        return Timer.__qualname__

    def on_fit_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Refuse to go on where no time is left."""
        if self._is_over(trainer):
            used = timedelta(seconds=round(self.time_elapsed()))
            raise ConfigError(
                'trainer.max_time',
                f'is used up: {trainer.ckpt_path} has trained for {used} of {self.duration}; '
                'raise --trainer.max_time to go on',
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and end if the time is up; with gradients accumulated, after the optimizer's step."""
        early = trainer.current_epoch < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        if not (early or batch_idx % trainer.accumulate_grad_batches) and self._is_over(trainer):
            interrupt(
                trainer,
                f'trainer.max_time {self.duration}',
                'resume with --auto-resume and a larger --trainer.max_time',
            )

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Stop nothing: the metrics of the step are not logged yet."""

    def _is_over(self, trainer: Trainer) -> bool:
        return bool(trainer.strategy.broadcast(self.time_elapsed() >= self.duration.total_seconds()))


class KeepTime(Callback):
    """Puts a `TimeLimit` in the place of the `Timer` that Lightning makes of `trainer.max_time`, or of one in a config.

    One that ends the run at the end of an epoch stays, and so does any where no `IntervalCheckpoint` saves.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replace it."""
        saves = any(isinstance(callback, IntervalCheckpoint) for callback in trainer.checkpoint_callbacks)
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
        if stage == 'fit' and saves:
            trainer.callbacks = [_limit(callback) for callback in callbacks]  # type: ignore[attr-defined]


def _limit(callback: Callback) -> Callback:
    """Return a `TimeLimit` for a timer that would stop the run within an epoch, and any other callback as it is."""
    if type(callback) is not Timer or callback._duration is None or callback._interval != 'step':
        return callback
    return TimeLimit(timedelta(seconds=callback._duration))
