"""The checkpoint with the best value of a metric."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from seglight.callbacks.checkpoints.base import OnWriteError, SafeCheckpoint
from seglight.config.settings import nearest
from seglight.errors import ConfigError
from seglight.steps import counts_steps

MOST_BYTES = 120  #: of a metric in the name of a file


class BestCheckpoint(SafeCheckpoint):
    """Writes `best_{metric}_epoch_{E}.ckpt` whenever a validation metric is better than before, and keeps only that.

    A run that counts steps (`max_steps`) has `best_{metric}_iter_{I}.ckpt`, as in mmseg. In the file's name,
    characters of a class's name that not every file system takes are `_`. Works with any module that logs
    `val/{metric}` in its validation.

    Args:
        metric: a mean (mIoU, mAcc, aAcc, mDice, mFscore, mPrecision, mRecall, mBoundaryIoU), the figure of a class
            (IoU.road), or loss, of which the lowest is the best. `seglight.models.Segmentor` logs figures of
            classes with `model.per_class`, mBoundaryIoU with `model.boundary_iou`, loss with `model.val_loss`.
        on_write_error: `stop` the run if a checkpoint cannot be written (a full disk), or `continue` it.

    Raises:
        ConfigError: if the model does not log the metric.
    """

    save_top_k = 1

    def __init__(self, metric: str = 'mIoU', on_write_error: OnWriteError = 'stop') -> None:
        super().__init__(on_write_error)
        self.metric = metric
        self.monitor: str = f'val/{metric}'
        self.mode = 'min' if metric == 'loss' else 'max'
        self._name = _file_name(metric)

    @property
    def patterns(self) -> tuple[str, ...]:
        """Patterns of the files that this callback may delete."""
        return (f'best_{glob.escape(self._name)}_*.ckpt',)

    @property
    def state_key(self) -> str:
        """The key in checkpoints, one for each metric; the same as when Lightning's `ModelCheckpoint` was the base."""
        intervals = {'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None}
        return f'BestCheckpoint{ {"monitor": self.monitor, "mode": self.mode, **intervals} }'

    def state_dict(self) -> dict[str, Any]:
        """Return the best so far; the name of its file without the folder, which may be moved."""
        return {'best_model_path': Path(self.best_model_path).name, 'best_model_score': self.best_model_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best so far if its file is in this run's folder; in another run's it is not this run's best."""
        best = self.folder / Path(state_dict['best_model_path'] or '-').name
        if best.is_file():
            self.best_model_path, self.best_model_score = str(best), state_dict['best_model_score']

    def kept(self) -> set[str]:
        """Return the name of the best."""
        return {Path(self.best_model_path).name}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reject a metric that the module will not log, if it can list its metrics (`figures()`)."""
        super().setup(trainer, pl_module, stage)
        known = getattr(pl_module, 'figures', None)
        if known is not None and self.metric not in known():
            raise ConfigError('best_checkpoint.metric', _unknown(self.metric, known()))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the metric is better than before.

        Raises:
            ConfigError: if the validation did not log the metric.
        """
        trying = trainer.sanity_checking or trainer.fast_dev_run  # type: ignore[attr-defined]
        if trying or trainer.state.fn != 'fit' or self._step_saved == trainer.global_step:
            return
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            raise ConfigError('best_checkpoint.metric', f'the validation does not log {self.monitor}')
        if score.isnan():
            score = torch.full_like(score, torch.inf if self.mode == 'min' else -torch.inf)
        if trainer.strategy.reduce_boolean_decision(self._is_better(float(score))):
            unit = f'iter_{trainer.global_step}' if counts_steps(trainer) else f'epoch_{trainer.current_epoch + 1}'
            if self.write(trainer, self.folder / f'best_{self._name}_{unit}.ckpt', score):
                self.prune(trainer)

    def prune(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Delete all but the best, once it is known: after a resume it may have to be written again."""
        if self.best_model_path:
            super().prune(trainer, spared)

    def _is_better(self, score: float) -> bool:
        if self.best_model_score is None:
            return True
        best = float(self.best_model_score)
        return score < best if self.mode == 'min' else score > best


def _file_name(metric: str) -> str:
    """Return a metric as a part of the name of a file: of letters, digits and a few signs, and not too long."""
    return re.sub(r'[^\w.+-]', '_', metric).encode()[:MOST_BYTES].decode(errors='ignore')


def _unknown(metric: str, known: Sequence[str]) -> str:
    """Return the message about a metric that the model does not log."""
    alike = [name for name in known if name.lower() == metric.lower()]
    hint = f"; did you mean '{alike[0]}'?" if alike else nearest(metric, known)
    means = [name for name in known if '.' not in name]
    example = next((name for name in known if '.' in name), 'IoU.road')
    return (
        f"unknown metric '{metric}'{hint} ({', '.join(means)}, or the figure of a class, such "
        f'as {example}); model.per_class, model.boundary_iou and model.val_loss add others'
    )
