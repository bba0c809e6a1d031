"""Base of the callbacks that write checkpoints: the folder, failed writes, and deleting old files."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Set
from pathlib import Path
from typing import Any, Literal

from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.callbacks.checkpoints.pruning import prune
from seglight.errors import CheckpointError, warn
from seglight.trainer_callbacks import callbacks_of

OnWriteError = Literal['stop', 'continue']


class SafeCheckpoint(Checkpoint):
    """Writes checkpoints atomically, and deletes old ones only after the new one is written.

    The public attributes are those of `ModelCheckpoint` that Lightning and its loggers read. Lightning supports
    `ckpt_path='last'` only for `ModelCheckpoint`: use `seglight.callbacks.resume.newest_checkpoint` instead.

    Args:
        on_write_error: `stop` the run if a file cannot be written, or `continue` with a message.

    Attributes:
        dirpath: folder of the files, by default that of Lightning's `ModelCheckpoint`.
        best_model_path: the last file written; '' before the first.
        best_model_score: its value of `monitor`, if any.
    """

    monitor: str | None = None
    save_top_k = -1

    def __init__(self, on_write_error: OnWriteError) -> None:
        self.on_write_error = on_write_error
        self.dirpath: str | None = None
        self.best_model_path = ''
        self.best_model_score: Tensor | None = None
        self._step_saved = 0  #: step of the last checkpoint; none is needed before the first step

    @property
    @abstractmethod
    def prefixes(self) -> tuple[str, ...]:
        """The names of the files that this callback may delete, without `_{N}.ckpt`."""

    @abstractmethod
    def kept(self) -> set[str]:
        """Return the names of the files to keep."""

    @property
    def folder(self) -> Path:
        """The folder of the files, known after the setup of a fit."""
        return Path(str(self.dirpath))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose the folder, and replace Lightning's plugin for checkpoints with the atomic one."""
        if stage == 'fit' and self.dirpath is None:
            self.dirpath = trainer.strategy.broadcast(str(_default_folder(trainer)))
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = AtomicCheckpointIO()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Delete what a killed run left behind, except the checkpoint to resume from."""
        resumed = Path(trainer.ckpt_path or '')
        if trainer.ckpt_path and self.folder.resolve() == resumed.resolve().parent:
            self.prune(trainer, {resumed.name})

    def write(self, trainer: Trainer, path: Path, score: Tensor | None = None) -> bool:
        """Write a checkpoint; all processes must call this.

        Returns:
            Whether the file was written; otherwise nothing has changed. A trial run (`fast_dev_run`) writes none.

        Raises:
            CheckpointError: on all processes, if it cannot be written and `on_write_error` is `stop`.
        """
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return False
        before = self.best_model_path, self.best_model_score
        self.best_model_path, self.best_model_score = str(path), score  # first: the file contains this state
        if failure := _save(trainer, path):
            self.best_model_path, self.best_model_score = before
            if self.on_write_error == 'stop':
                raise CheckpointError(failure)
            if trainer.is_global_zero:
                warn(f'{failure}; training continues')
            return False
        self._step_saved = trainer.global_step
        if trainer.is_global_zero:
            written: Any = weakref.proxy(self)  # loggers keep it
            for logger in trainer.loggers:
                logger.after_save_checkpoint(written)
        return True

    def prune(self, trainer: Trainer, spared: Set[str] = frozenset()) -> None:
        """Delete this callback's files except those that it or another callback keeps, and its unfinished files."""
        if trainer.is_global_zero:
            callbacks = [self, *(each for each in callbacks_of(trainer) if isinstance(each, SafeCheckpoint))]
            prune(self.folder, self.prefixes, set(spared).union(*(each.kept() for each in callbacks)))


def _save(trainer: Trainer, path: Path) -> str | None:
    """Save, and return on every process the error of the one that writes, or None."""
    failure = None
    try:
        trainer.save_checkpoint(path)
    except CheckpointError as error:
        failure = str(error)
        trainer.strategy.barrier()  # as the other processes do in `save_checkpoint`
    return trainer.strategy.broadcast(failure)


def _default_folder(trainer: Trainer) -> Path:
    """Return the folder that Lightning's `ModelCheckpoint` writes to by default."""
    if trainer.logger is None:
        return Path(trainer.default_root_dir) / 'checkpoints'
    name, version = str(trainer.logger.name), trainer.logger.version
    run = version if isinstance(version, str) else f'version_{version}'
    return Path(trainer.logger.save_dir or trainer.default_root_dir) / name / run / 'checkpoints'
