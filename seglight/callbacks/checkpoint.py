"""Checkpoints under the names that mmseg's users know."""

from __future__ import annotations

import glob
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor

from seglight.callbacks.checkpoint_io import AtomicCheckpointIO, temporary_name
from seglight.config.settings import nearest
from seglight.errors import CheckpointError, ConfigError
from seglight.files import link, newest
from seglight.steps import epoch_is_cut

#: The checkpoints that a run can go on from without a loss, each a point between two steps.
RESUMABLE = ('epoch_*.ckpt', 'iter_*.ckpt')

OnWriteError = Literal['stop', 'continue']

MOST_BYTES = 120  #: of a metric in the name of a file


class _SafeCheckpoint(ModelCheckpoint):
    """A `ModelCheckpoint` that writes atomically and deletes old files only when the new one is safe.

    Args:
        patterns: names of the files that are this callback's to delete.
        on_write_error: `stop` the run if a file cannot be written, or `continue` with a message.
        options: of Lightning's `ModelCheckpoint`.
    """

    def __init__(self, patterns: Iterable[str], on_write_error: OnWriteError, **options: Any) -> None:
        super().__init__(auto_insert_metric_name=False, enable_version_counter=False, **options)
        self._patterns = tuple(patterns)
        self._on_write_error = on_write_error

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let the trainer write atomically, unless it has a plugin for checkpoints."""
        super().setup(trainer, pl_module, stage)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Delete what a run that was killed left behind, but for the checkpoint that is safe until there is another."""
        resumed = Path(trainer.ckpt_path or '')
        if trainer.ckpt_path and Path(str(self.dirpath)).resolve() == resumed.resolve().parent:
            self._sweep(trainer, {resumed.name})

    def kept(self) -> set[str]:
        """Return the names of the files that stay."""
        return {Path(path).name for path in self.best_k_models}

    def _should_remove_checkpoint(self, trainer: Trainer, previous: str, current: str) -> bool:
        """Leave deleting to `_sweep`."""
        return False

    def _save_topk_checkpoint(self, trainer: Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        """Save, then delete; after a failure everything is as before."""
        saved = self._last_global_step_saved
        with self._failures(trainer):
            super()._save_topk_checkpoint(trainer, monitor_candidates)
            if self._last_global_step_saved != saved:
                self._sweep(trainer)

    @contextmanager
    def _failures(self, trainer: Trainer) -> Iterator[None]:
        """Report a file that cannot be written and leave everything as before, or stop the run, as was asked for."""
        before = {**vars(self), 'best_k_models': dict(self.best_k_models)}
        try:
            yield
        except CheckpointError as error:
            if self._on_write_error == 'stop':
                raise
            vars(self).update(before)
            if trainer.is_global_zero:
                print(f'seglight: {error}; training goes on', file=sys.stderr)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Save, and fail on every process where it fails on the one that writes."""
        failure = None
        try:
            super()._save_checkpoint(trainer, filepath)
        except CheckpointError as error:
            failure = str(error)
            trainer.strategy.barrier()  # where the other processes wait when they have saved
        failure = trainer.strategy.broadcast(failure)
        if failure:
            raise CheckpointError(failure)

    def _sweep(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Delete this callback's files but those to keep, and what is left of files that were not finished."""
        if not trainer.is_global_zero:
            return
        folder, kept = Path(str(self.dirpath)), self.kept() | spared
        for pattern in self._patterns:
            for path in [*folder.glob(pattern), *folder.glob(temporary_name(Path(pattern)).name)]:
                if path.name not in kept:
                    path.unlink(missing_ok=True)


class IntervalCheckpoint(_SafeCheckpoint):
    """Writes `epoch_{E}.ckpt` or `iter_{I}.ckpt` and keeps the newest ones; a run's end always has one, as in mmcv.

    `last.ckpt` is a link to the newest. All are written between two steps, when the step before is in the logs.

    Args:
        interval: epochs, iterations or minutes between checkpoints, mmseg's `checkpoint_config.interval`.
        unit: what `interval` counts; epochs give `epoch_{E}.ckpt`, the others `iter_{I}.ckpt`.
        max_keep_ckpts: how many to keep, -1 for all, as in mmseg.
        on_write_error: `stop` the run if a checkpoint cannot be written (a full disk), or `continue` it.

    Raises:
        ConfigError: if the interval is below 1 or none would be kept.
    """

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
            message = f'must be at least 1, or -1 for all, got {max_keep_ckpts}'
            raise ConfigError('checkpoint.max_keep_ckpts', message)
        # When to save and what to delete is said below; Lightning saves every time it is asked.
        super().__init__(RESUMABLE, on_write_error, every_n_epochs=interval, save_top_k=-1)
        self.interval = interval
        self.unit = unit
        self.max_keep_ckpts = max_keep_ckpts
        self._prefix = 'epoch' if unit == 'epoch' else 'iter'
        self._epochs_saved = -1  #: epochs that were done when it saved last
        self._seen = -1  #: step at which it was last asked whether to save

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the files in the folder say all."""
        return {}

    def kept(self) -> set[str]:
        """Return the newest of the own kind; others were written when a signal ended the run."""
        paths = Path(str(self.dirpath)).glob(f'{self._prefix}_*.ckpt')
        names = [path.name for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, _number(path)))]
        return set(names if self.max_keep_ckpts == -1 else names[-self.max_keep_ckpts :])

    def format_checkpoint_name(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Return the path of a checkpoint, by the epochs or the optimizer steps that are done."""
        return str(Path(str(self.dirpath)) / f'{self._prefix}_{int(metrics[self._prefix])}.ckpt')

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; the point that a run goes on from needs no new checkpoint."""
        self._last_time_checked = time.monotonic()
        self._seen = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save by the interval when the step before is done and logged, and its validation too."""
        step = trainer.global_step
        if step != self._seen and self._is_due(trainer, batch_idx):
            self.save(trainer)
        self._seen = step

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Save nothing: the metrics of the step are not logged yet."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save nothing: the step is not at its end."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save by the interval, and in any case when the run ends with this epoch."""
        if self._epochs_saved != _epochs_done(trainer) and _is_last_epoch(trainer):
            self._last_global_step_saved = -1  # no step, but new weights: averaged ones, with their own BatchNorm
        if self._should_skip_saving_checkpoint(trainer):
            return
        due = self.unit == 'epoch' and not _by_steps(trainer) and _epochs_done(trainer) % self.interval == 0
        if epoch_is_cut(trainer):
            with self._failures(trainer):
                self.save(trainer, interrupted=True)
        elif due or _is_last_epoch(trainer):
            self.save(trainer)

    def save(self, trainer: Trainer, interrupted: bool = False) -> None:
        """Write a checkpoint now, and set `last.ckpt`.

        Args:
            trainer: the trainer, between two steps or at the end of an epoch.
            interrupted: whether the run ends here, within an epoch; the checkpoint is named by its step then.
        """
        regular, self._prefix = self._prefix, 'iter' if interrupted else self._prefix
        values: dict[str, Any] = {
            **self._monitor_candidates(trainer),
            'epoch': _epochs_done(trainer),
            'iter': trainer.global_step,
        }
        if interrupted:
            self._save_none_monitor_checkpoint(trainer, values)
            self._link(trainer)
        else:
            self._save_topk_checkpoint(trainer, values)
        self._prefix = regular
        self._epochs_saved = _epochs_done(trainer)
        self._last_time_checked = time.monotonic()

    def _sweep(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Let `last.ckpt` name the newest before others go."""
        self._link(trainer)
        super()._sweep(trainer, spared)

    def _link(self, trainer: Trainer) -> None:
        """Let `last.ckpt` name the newest checkpoint, as mmcv's `latest.pth` does."""
        folder = Path(str(self.dirpath))
        target = newest(folder, *RESUMABLE)
        if target is None or not trainer.is_global_zero:
            return
        link(folder / 'last.ckpt', Path(target.name))

    def _is_due(self, trainer: Trainer, batch_idx: int) -> bool:
        """Tell whether to save before this batch."""
        if self._should_skip_saving_checkpoint(trainer) or batch_idx % trainer.accumulate_grad_batches:
            return False  # the gradients of the batches before are in no checkpoint
        if self.unit == 'iter':
            return trainer.global_step % self.interval == 0
        if self.unit == 'minute':
            passed = time.monotonic() - (self._last_time_checked or 0.0)
            return bool(trainer.strategy.broadcast(passed >= 60 * self.interval))
        # Lightning cannot go on at the end of an epoch where it counts steps, but at the start of the next.
        return _by_steps(trainer) and batch_idx == 0 and _epochs_done(trainer) % self.interval == 0


class BestCheckpoint(_SafeCheckpoint):
    """Writes `best_{metric}_epoch_{E}.ckpt` whenever a figure of the validation is better than before, and keeps it.

    A run that counts steps (`max_steps`) has `best_{metric}_iter_{I}.ckpt`, as in mmseg. In the file's name,
    characters of a class's name that not every file system takes are `_`.

    Args:
        metric: a mean (mIoU, mAcc, aAcc, mDice, mFscore, mPrecision, mRecall, mBoundaryIoU), the figure of a class
            (IoU.road), or loss, of which the lowest is the best. It has to be logged under `val/`: figures of
            classes by `model.per_class`, mBoundaryIoU by `model.boundary_iou`, loss by `model.val_loss`.
        on_write_error: `stop` the run if a checkpoint cannot be written (a full disk), or `continue` it.

    Raises:
        ConfigError: if the model does not log the metric.
    """

    def __init__(self, metric: str = 'mIoU', on_write_error: OnWriteError = 'stop') -> None:
        self.metric = metric
        self._name = _file_name(metric)
        self._by_steps = False
        super().__init__(
            [f'best_{glob.escape(self._name)}_*.ckpt'],
            on_write_error,
            monitor=f'val/{metric}',
            mode='min' if metric == 'loss' else 'max',
            save_top_k=1,
            save_on_train_epoch_end=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Name the files by what the run counts, and refuse a metric that will not be there."""
        super().setup(trainer, pl_module, stage)
        self._by_steps = _by_steps(trainer)
        known = getattr(pl_module, 'figures', None)
        if known is not None and self.metric not in known():
            raise ConfigError('best_checkpoint.metric', _unknown(self.metric, known()))

    def format_checkpoint_name(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> str:
        """Return the path of a checkpoint with the epoch, from 1, or the step in its name."""
        unit = f'iter_{int(metrics["step"])}' if self._by_steps else f'epoch_{int(metrics["epoch"]) + 1}'
        return str(Path(str(self.dirpath)) / f'best_{self._name}_{unit}.ckpt')

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best so far if its file lies in this run's folder; in another run's it is not this run's best."""
        folder = Path(str(self.dirpath))
        best = folder / Path(state_dict['best_model_path'] or '-').name
        if best.is_file():
            self.best_model_score = self.kth_value = state_dict['best_model_score']
            self.best_model_path = self.kth_best_model_path = str(best)
            self.best_k_models = {str(best): state_dict['best_model_score']}
            self.current_score = state_dict['current_score']

    def _sweep(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Delete all but the best, once there is one: after a resume it may have to be written again."""
        if self.best_k_models:
            super()._sweep(trainer, spared)


def _number(path: Path) -> int:
    """Return the number in `epoch_12.ckpt`."""
    digits = path.stem.rpartition('_')[2]
    return int(digits) if digits.isdigit() else 0


def _by_steps(trainer: Trainer) -> bool:
    """Tell whether a run's length is a number of steps."""
    return trainer.max_steps != -1


def _epochs_done(trainer: Trainer) -> int:
    """Return how many epochs have come to their end, or to their `on_train_epoch_end`."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return int(progress.processed)


def _is_last_epoch(trainer: Trainer) -> bool:
    """Tell whether a run ends with the epoch that is ending."""
    by_steps = 0 < trainer.max_steps <= trainer.global_step
    return trainer.should_stop or by_steps or _epochs_done(trainer) == trainer.max_epochs


def _file_name(metric: str) -> str:
    """Return a metric as a part of the name of a file: of letters, digits and a few signs, and not too long."""
    return re.sub(r'[^\w.+-]', '_', metric).encode()[:MOST_BYTES].decode(errors='ignore')


def _unknown(metric: str, known: Sequence[str]) -> str:
    """Return what to tell of a metric that the model does not log."""
    alike = [name for name in known if name.lower() == metric.lower()]
    hint = f"; did you mean '{alike[0]}'?" if alike else nearest(metric, known)
    means = [name for name in known if '.' not in name]
    example = next((name for name in known if '.' in name), 'IoU.road')
    return (
        f"unknown metric '{metric}'{hint} ({', '.join(means)}, or the figure of a class, such "
        f'as {example}); model.per_class, model.boundary_iou and model.val_loss add others'
    )
