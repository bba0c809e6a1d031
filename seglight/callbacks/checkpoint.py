"""Checkpoints under the names that mmseg's users know."""

from __future__ import annotations

from typing import Any, Literal

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from seglight.errors import ConfigError

#: What a checkpoint can be the best in; mBoundaryIoU only with `model.boundary_iou`.
Metric = Literal['mIoU', 'mAcc', 'aAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall', 'mBoundaryIoU']


class _EpochFromOne(ModelCheckpoint):
    """A `ModelCheckpoint` that counts epochs from 1 in file names."""

    def format_checkpoint_name(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Return the path of a checkpoint with the epoch from 1 in its name."""
        return super().format_checkpoint_name({**metrics, 'epoch': metrics['epoch'] + 1}, *args, **kwargs)


class EpochCheckpoint(_EpochFromOne):
    """Writes `epoch_{E}.ckpt` and keeps the newest ones; the last epoch always has one, as in mmcv.

    Args:
        interval: epochs between checkpoints, mmseg's `checkpoint_config.interval`.
        max_keep_ckpts: how many to keep, -1 for all, as in mmseg.

    Raises:
        ConfigError: if the interval is below 1 or none would be kept.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 3) -> None:
        if interval < 1:
            raise ConfigError(f'checkpoint.interval is at least 1, not {interval}', ('checkpoint', 'interval'))
        if max_keep_ckpts < 1 and max_keep_ckpts != -1:
            message = f'checkpoint.max_keep_ckpts is at least 1, or -1 for all, not {max_keep_ckpts}'
            raise ConfigError(message, ('checkpoint', 'max_keep_ckpts'))
        super().__init__(
            filename='epoch_{epoch}',
            auto_insert_metric_name=False,
            every_n_epochs=interval,
            # The newest are those with the highest "epoch", which Lightning offers to monitor.
            monitor=None if max_keep_ckpts == -1 else 'epoch',
            mode='max',
            save_top_k=max_keep_ckpts,
            save_on_train_epoch_end=True,  # also in epochs without a validation
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save by the interval, and in any case when the run ends with this epoch."""
        interval = self._every_n_epochs
        if _is_last_epoch(trainer):
            self._every_n_epochs = 1
        super().on_train_epoch_end(trainer, pl_module)
        self._every_n_epochs = interval


def _is_last_epoch(trainer: Trainer) -> bool:
    """Tell whether a run ends with the epoch that is ending."""
    by_steps = 0 < trainer.max_steps <= trainer.global_step
    return trainer.should_stop or by_steps or trainer.current_epoch + 1 == trainer.max_epochs


class BestCheckpoint(_EpochFromOne):
    """Writes `best_{metric}_epoch_{E}.ckpt` whenever a validation metric rises and keeps the best.

    Args:
        metric: name of the metric without `val/`.
    """

    def __init__(self, metric: Metric = 'mIoU') -> None:
        self.metric: str = metric
        super().__init__(
            filename=f'best_{metric}_epoch_{{epoch}}',
            auto_insert_metric_name=False,
            monitor=f'val/{metric}',
            mode='max',
            save_top_k=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
