"""Checkpoints under the names that mmseg's users know."""

from __future__ import annotations

from typing import Any

from pytorch_lightning.callbacks import ModelCheckpoint


class _EpochFromOne(ModelCheckpoint):
    """A `ModelCheckpoint` that counts epochs from 1 in file names."""

    def format_checkpoint_name(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Return the path of a checkpoint with the epoch from 1 in its name."""
        return super().format_checkpoint_name({**metrics, 'epoch': metrics['epoch'] + 1}, *args, **kwargs)


class EpochCheckpoint(_EpochFromOne):
    """Writes `epoch_{E}.ckpt` and keeps the newest ones.

    Args:
        interval: epochs between checkpoints, mmseg's `checkpoint_config.interval`.
        max_keep_ckpts: how many to keep, -1 for all, as in mmseg.
    """

    def __init__(self, interval: int = 1, max_keep_ckpts: int = 3) -> None:
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


class BestCheckpoint(_EpochFromOne):
    """Writes `best_{metric}_epoch_{E}.ckpt` whenever a validation metric rises and keeps the best.

    Args:
        metric: name of the metric without `val/`: mIoU, mAcc or aAcc.
    """

    def __init__(self, metric: str = 'mIoU') -> None:
        self.metric = metric
        super().__init__(
            filename=f'best_{metric}_epoch_{{epoch}}',
            auto_insert_metric_name=False,
            monitor=f'val/{metric}',
            mode='max',
            save_top_k=1,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )
