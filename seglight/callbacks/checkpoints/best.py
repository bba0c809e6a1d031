"""The checkpoint with the best value of a metric."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from seglight.callbacks.checkpoints.base import OnWriteError, SafeCheckpoint
from seglight.errors import ConfigError
from seglight.files import RESUMABLE
from seglight.similar import nearest
from seglight.steps import counts_steps

MAX_BYTES = 120  #: maximum length of a metric in a file name


class BestCheckpoint(SafeCheckpoint):
    """Writes `best_{metric}_epoch_{E}.ckpt` whenever a validation metric improves, and keeps only that file.

    If the length of the run is set in steps (`max_steps`), the name is `best_{metric}_iter_{I}.ckpt`, as in mmseg.
    Special characters in a class name become `_` in the file name. Works with any module that logs `val/{metric}` in
    its validation.

    Args:
        metric: a mean (mIoU, mAcc, aAcc, mDice, mFscore, mPrecision, mRecall, mBoundaryIoU), the metric of a class
            (IoU.road), or loss (lowest is best). `seglight.models.Segmentor` logs metrics of classes with
            `model.per_class`, mBoundaryIoU with `model.boundary_iou`, and loss with `model.val_loss`.
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
    def prefixes(self) -> tuple[str, ...]:
        """The names of the files that this callback may delete, without `_{N}.ckpt`."""
        return tuple(f'best_{self._name}_{unit}' for unit in RESUMABLE)

    @property
    def state_key(self) -> str:
        """The key in checkpoints, one for each metric, in the format of Lightning's `ModelCheckpoint`."""
        intervals = {'every_n_train_steps': 0, 'every_n_epochs': 1, 'train_time_interval': None}
        return f'BestCheckpoint{ {"monitor": self.monitor, "mode": self.mode, **intervals} }'

    def state_dict(self) -> dict[str, Any]:
        """Return the best so far, with its file name but not its folder, which may be moved."""
        return {'best_model_path': Path(self.best_model_path).name, 'best_model_score': self.best_model_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best so far if its file is in this run's folder; otherwise it belongs to another run."""
        best = self.folder / Path(state_dict['best_model_path'] or '-').name
        if best.is_file():
            self.best_model_path, self.best_model_score = str(best), state_dict['best_model_score']

    def kept(self) -> set[str]:
        """Return the file name of the best."""
        return {Path(self.best_model_path).name}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Reject a metric that the module will not log, if it lists its metrics (`figures()`)."""
        super().setup(trainer, pl_module, stage)
        known = getattr(pl_module, 'figures', None)
        if known is not None and self.metric not in known():
            raise ConfigError('best_checkpoint.metric', _unknown(self.metric, known()))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save if the metric has improved.

        Raises:
            ConfigError: if the validation did not log the metric.
        """
        trying = trainer.sanity_checking or trainer.fast_dev_run  # type: ignore[attr-defined]
        if trying or trainer.state.fn != 'fit' or self._step_saved == trainer.global_step:
            return
        score = trainer.callback_metrics.get(self.monitor)
        if score is None:
            raise ConfigError('best_checkpoint.metric', f'must be logged by the validation, but {self.monitor} is not')
        if score.isnan():
            score = torch.full_like(score, torch.inf if self.mode == 'min' else -torch.inf)
        if trainer.strategy.reduce_boolean_decision(self._is_better(float(score))):
            unit = f'iter_{trainer.global_step}' if counts_steps(trainer) else f'epoch_{trainer.current_epoch + 1}'
            if self.write(trainer, self.folder / f'best_{self._name}_{unit}.ckpt', score):
                self.prune(trainer)

    def prune(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Delete all but the best, if it is known: after a resume it may not be known yet."""
        if self.best_model_path:
            super().prune(trainer, spared)

    def _is_better(self, score: float) -> bool:
        if self.best_model_score is None:
            return True
        best = float(self.best_model_score)
        return score < best if self.mode == 'min' else score > best


def _file_name(metric: str) -> str:
    """Return a metric as part of a file name: letters, digits, `_.+-`, at most `MAX_BYTES`."""
    return re.sub(r'[^\w.+-]', '_', metric).encode()[:MAX_BYTES].decode(errors='ignore')


def _unknown(metric: str, known: Sequence[str]) -> str:
    """Return the message about a metric that the model does not log."""
    same_letters = [name for name in known if name.lower() == metric.lower()]
    hint = f"; did you mean '{same_letters[0]}'?" if same_letters else nearest(metric, known)
    means = [name for name in known if '.' not in name]
    example = next((name for name in known if '.' in name), 'IoU.road')
    return (
        f"unknown metric '{metric}'{hint} (known: {', '.join(means)}, and metrics of a class, "
        f'for example {example}); model.per_class, model.boundary_iou and model.val_loss add more'
    )
