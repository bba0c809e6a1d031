"""Checkpoints at an interval, with mmseg's file names."""

from __future__ import annotations

import time
from collections.abc import Set
from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer

from seglight.callbacks.checkpoints.base import OnWriteError, SafeCheckpoint
from seglight.callbacks.checkpoints.pruning import link_newest, newest_names
from seglight.callbacks.processes import Vote
from seglight.errors import ConfigError
from seglight.files import RESUMABLE
from seglight.steps import counts_steps, epoch_is_cut, epochs_done, is_last_epoch


class IntervalCheckpoint(SafeCheckpoint):
    """Writes `epoch_{E}.ckpt` or `iter_{I}.ckpt`, and at the end of the run, as in mmcv; keeps the newest.

    `last.ckpt` is a link to the newest. Checkpoints are written between two steps, after the last step is logged.

    Args:
        interval: epochs, iterations or minutes between checkpoints, mmseg's `checkpoint_config.interval`.
        unit: unit of `interval`; epochs give `epoch_{E}.ckpt`, the others `iter_{I}.ckpt`.
        max_keep_ckpts: maximum number to keep, -1 for all, as in mmseg.
        on_write_error: `stop` the run if a checkpoint cannot be written (a full disk), or `continue` it.

    Raises:
        ConfigError: if the interval is below 1, or no checkpoint would be kept.
    """

    prefixes = RESUMABLE

    def __init__(
        self,
        interval: int = 1,
        unit: Literal['epoch', 'iter', 'minute'] = 'epoch',
        max_keep_ckpts: int = 3,
        on_write_error: OnWriteError = 'stop',
    ) -> None:
        if interval < 1:
            raise ConfigError('checkpoint.interval', f'must be at least 1, got {interval}')
        if max_keep_ckpts < 1 and max_keep_ckpts != -1:
            raise ConfigError('checkpoint.max_keep_ckpts', f'must be at least 1, or -1 for all, got {max_keep_ckpts}')
        super().__init__(on_write_error)
        self.interval = interval
        self.unit = unit
        self.max_keep_ckpts = max_keep_ckpts
        self._epochs_saved = -1  #: number of finished epochs at the last checkpoint
        self._step_seen = -1  #: global step at the last check of the interval
        self._clock = 0.0  #: time of the last checkpoint
        self._time_is_up = Vote()

    def kept(self) -> set[str]:
        """Return the newest of this callback's unit; those of another unit were written on interruption."""
        return newest_names(self.folder, 'epoch' if self.unit == 'epoch' else 'iter', self.max_keep_ckpts)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; the step that a run resumes from needs no new checkpoint."""
        self._clock, self._time_is_up = time.monotonic(), Vote()
        self._step_seen = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save if the interval has passed; the previous step and its validation are done and logged."""
        if trainer.global_step != self._step_seen and self._is_due(trainer, batch_idx):
            self.save(trainer)
        self._step_seen = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the interval has passed, and always if the run ends with this epoch."""
        done, is_last = epochs_done(trainer), is_last_epoch(trainer)
        # An epoch without steps can change the weights, too: weight averaging adds one to update BatchNorm.
        if self._step_saved == trainer.global_step and not (is_last and self._epochs_saved != done):
            return
        if epoch_is_cut(trainer):
            self.save(trainer, interrupted=True)
        elif is_last or (self.unit == 'epoch' and not counts_steps(trainer) and done % self.interval == 0):
            self.save(trainer)

    def save(self, trainer: Trainer, interrupted: bool = False) -> bool:
        """Write a checkpoint now, and update `last.ckpt`.

        Args:
            trainer: the trainer, between two steps or at the end of an epoch.
            interrupted: whether the run ends here, within an epoch; the checkpoint's name then has the step, and no
                checkpoint is deleted.

        Returns:
            Whether the file was written.
        """
        done = epochs_done(trainer)
        by_epoch = self.unit == 'epoch' and not interrupted
        name = f'epoch_{done}.ckpt' if by_epoch else f'iter_{trainer.global_step}.ckpt'
        written = self.write(trainer, self.folder / name)
        if written and interrupted:
            self._link(trainer)
        elif written:
            self.prune(trainer)
        self._epochs_saved = done
        self._clock = time.monotonic()
        return written

    def prune(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Link `last.ckpt` to the newest checkpoint before deleting older ones."""
        self._link(trainer)
        super().prune(trainer, spared)

    def _link(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            link_newest(self.folder)

    def _is_due(self, trainer: Trainer, batch_idx: int) -> bool:
        """Return whether to save before this batch."""
        if self._step_saved == trainer.global_step or batch_idx % trainer.accumulate_grad_batches:
            return False  # a checkpoint does not contain accumulated gradients
        if self.unit == 'iter':
            return trainer.global_step % self.interval == 0
        if self.unit == 'minute':
            return self._time_is_up.any(time.monotonic() - self._clock >= 60 * self.interval)
        # With max_steps, Lightning cannot resume at the end of an epoch, only at the start of the next.
        return counts_steps(trainer) and batch_idx == 0 and epochs_done(trainer) % self.interval == 0
