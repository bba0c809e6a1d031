"""End a run between two steps when its time is up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer

from seglight.callbacks.checkpoints.interval import IntervalCheckpoint
from seglight.callbacks.processes import Vote
from seglight.callbacks.signals import interrupt
from seglight.errors import ConfigError
from seglight.trainer_callbacks import callbacks_of


class TimeLimit(Timer):
    """Lightning's `Timer`, but it saves and ends the run like a signal (see `StopBySignal`).

    Lightning's own ends the epoch early, so that a resumed run would skip the rest of the epoch's samples. The time
    starts with the training, and includes all parts of a resumed run.

    Args:
        duration: maximum duration of the training.

    Raises:
        Interrupted: after the time is up and the checkpoint is written.
        ConfigError: if the run resumes from a checkpoint that has already used the time.
    """

    def __init__(self, duration: timedelta) -> None:
        super().__init__(duration, verbose=False)
        self.duration = duration
        self._stop = Vote()

    @property
    def state_key(self) -> str:
        """The key of Lightning's `Timer`, which this callback replaces."""
        return Timer.__qualname__

    def on_fit_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Reject a checkpoint that has used all the time."""
        if trainer.strategy.broadcast(self._is_over()):
            used = timedelta(seconds=round(self.time_elapsed()))
            raise ConfigError(
                'trainer.max_time',
                f'is used up: {trainer.ckpt_path} has trained for {used} of {self.duration}; '
                'raise --trainer.max_time to continue',
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save and end the run if the time is up, unless accumulated gradients await a step."""
        early = trainer.current_epoch < (trainer.min_epochs or 0) or trainer.global_step < (trainer.min_steps or 0)
        if not (early or batch_idx % trainer.accumulate_grad_batches) and self._stop.any(self._is_over()):
            interrupt(
                trainer,
                f'trainer.max_time {self.duration}',
                'resume with --auto-resume and a larger --trainer.max_time',
            )

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing, since the metrics of the step are not logged yet."""

    def _is_over(self) -> bool:
        return bool(self.time_elapsed() >= self.duration.total_seconds())


class KeepTime(Callback):
    """Replaces Lightning's `Timer`, from `trainer.max_time` or the config, with a `TimeLimit`.

    It keeps a `Timer` that ends the run only at the end of an epoch, and any `Timer` of a trainer without an
    `IntervalCheckpoint`.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replace the timers."""
        saves = any(isinstance(callback, IntervalCheckpoint) for callback in trainer.checkpoint_callbacks)
        if stage == 'fit' and saves:
            trainer.callbacks = [_limit(callback) for callback in callbacks_of(trainer)]  # type: ignore[attr-defined]


def _limit(callback: Callback) -> Callback:
    """Return a `TimeLimit` for a timer that would stop the run within an epoch, and any other callback unchanged."""
    if type(callback) is not Timer or callback._duration is None or callback._interval != 'step':
        return callback
    return TimeLimit(timedelta(seconds=callback._duration))
