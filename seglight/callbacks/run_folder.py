"""The folder of a run: claimed, filled, and written into checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from seglight.callbacks.checkpoints.pruning import RESUMABLE
from seglight.callbacks.metrics_file import MetricsFile
from seglight.checkpoints.checkpoint import CONFIG_ENTRY, ENVIRONMENT_ENTRY, METRICS_ENTRY
from seglight.console import labelled
from seglight.errors import Interrupted, TrainingError, UsageError, UserError
from seglight.files import as_bytes, claim_run_folder, newest, write_atomically
from seglight.masking import masked_yaml
from seglight.run_lock import RunLock, used
from seglight.steps import resumes

#: The entry of a checkpoint that says how many rows `metrics.csv` had.
ROWS_ENTRY = 'metrics_rows'


class RunFolder(Callback):
    """Makes the folder of a training run and keeps the run's config in it and in every checkpoint.

    The texts that the data module's `records()` returns by their file names, if it has that, are written too, and its
    `record_left_out()` gets the file that lists what is left out.

    The folder is made when the data module has found its files, so wrong input leaves none behind.
    Checkpoint callbacks without a folder of their own write into it.

    Args:
        config: the resolved config as YAML text, written to `config.yaml` and into checkpoints.
        folder: the folder; by default the next free `{root}/exp{N}`.
        root: where numbered folders go.
        environment: what the run was made with, written to `environment.yaml` if given.
        log: whether to log to `metrics.csv` in the folder if the trainer has no logger.
        resumed: whether the folder is that of a run that goes on, so that it may hold something.
    """

    def __init__(
        self,
        config: str,
        folder: str | None = None,
        root: str = 'work_dirs',
        environment: str | None = None,
        log: bool = True,
        resumed: bool = False,
    ) -> None:
        self.config = masked_yaml(config)
        self.environment = None if environment is None else masked_yaml(environment)
        self.root = Path(root)
        self.folder = Path(folder) if folder else None
        self.keeps_log = log  # not `log`, which Lightning sets in every callback
        self.resumed = resumed
        self._made = False
        self._metrics: MetricsFile | None = None
        self._lock: RunLock | None = None

    @property
    def run_folder(self) -> Path | None:
        """The folder, known on all processes when a fit is set up; see `seglight.run`."""
        return self.folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the folder on rank 0 and tell it to all ranks, the logger and the checkpoint callbacks.

        Raises:
            ConfigError: if the given folder holds a run already.
        """
        if stage != 'fit':  # a validation after it, with the same trainer
            return
        if trainer.is_global_zero:
            self._claim()
        self.folder = Path(trainer.strategy.broadcast(str(self.folder)))
        for callback in trainer.checkpoint_callbacks:
            if getattr(callback, 'dirpath', '') is None:  # a `ModelCheckpoint` or a `SafeCheckpoint`
                callback.dirpath = str(self.folder)  # type: ignore[attr-defined]
        if self.keeps_log and not trainer.loggers:
            self._metrics = MetricsFile(self.folder)
            trainer.loggers = [self._metrics, _tensorboard(self.folder)]
        data: Any = getattr(trainer, 'datamodule', None)
        if trainer.is_global_zero:
            self._write(self.folder, getattr(data, 'records', dict)())
        if hasattr(data, 'record_left_out'):
            data.record_left_out(self.folder / 'left_out.txt')

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Store the config in the checkpoint, so that nothing else is needed to use it, and how it came about."""
        checkpoint[CONFIG_ENTRY] = self.config
        if self._metrics:
            checkpoint[ROWS_ENTRY] = self._metrics.rows()
        checkpoint[METRICS_ENTRY] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.environment:
            checkpoint[ENVIRONMENT_ENTRY] = self.environment

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Drop what was logged after the checkpoint: it comes again."""
        if self.resumed and self._metrics:
            self._metrics.cut(checkpoint.get(ROWS_ENTRY, 0))
            self._purge(trainer, checkpoint['global_step'])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop all that was logged before the first checkpoint of a run that starts from the beginning again."""
        if self._metrics and not resumes(trainer):
            self._metrics.cut(0)
            if self.resumed:
                self._purge(trainer, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where the run lies, once nothing refuses it."""
        if trainer.is_global_zero:
            print(labelled('Run', self.folder), flush=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the folder again if wrong input, or a model that runs on none, ended the run before its first step."""
        wrong_input = isinstance(exception, UserError) and not isinstance(exception, (Interrupted, TrainingError))
        refused = isinstance(exception, (RuntimeError, ValueError, MisconfigurationException))
        wrong_input |= refused and trainer.global_step == 0
        if self._made and wrong_input and self.folder and not list(self.folder.glob('*.ckpt')):
            for logger in trainer.loggers:  # Lightning has them write later what they hold, where no folder is any more
                if isinstance(logger, (MetricsFile, TensorBoardLogger)):
                    logger.finalize('failed')
            shutil.rmtree(self.folder, ignore_errors=True)
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let other runs use the folder."""
        self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()

    def _purge(self, trainer: Trainer, step: int) -> None:
        """Have TensorBoard pass over what was logged from a step on; nothing is logged yet."""
        if self.folder:
            trainer.loggers = [
                _tensorboard(self.folder, purge_step=step) if isinstance(logger, TensorBoardLogger) else logger
                for logger in trainer.loggers
            ]

    def summary(self) -> str:
        """Return where the run lies and its newest checkpoint, for a run that did not come to its end."""
        last = newest(self.folder, *RESUMABLE) if self.folder else None
        known = f'its newest checkpoint is {last.name}' if last else 'it has no checkpoint yet'
        return f'the run lies in {self.folder}, {known}'

    def _write(self, folder: Path, records: dict[str, str]) -> None:
        """Write what there is to know of the run before it starts."""
        write_atomically(folder / 'config.yaml', as_bytes(self.config))
        if self.environment:
            write_atomically(folder / 'environment.yaml', as_bytes(self.environment))
        for name, text in records.items():
            write_atomically(folder / name, as_bytes(text))

    def _claim(self) -> None:
        """Make the folder; one that was asked for must be new or empty."""
        try:
            if self.folder is None:
                self.folder = claim_run_folder(self.root)
            self.folder.mkdir(parents=True, exist_ok=True)
            holds = used(self.folder)
        except OSError as error:
            raise UsageError(f'The run folder {self.folder or self.root} cannot be made: {error.strerror}') from error
        self._lock = RunLock(self.folder)
        self._lock.acquire()
        if holds and not self.resumed:
            raise UsageError(
                f'--work-dir {self.folder} is not empty; choose another, or go on with its run by --auto-resume'
            )
        self._made = not holds


def _tensorboard(folder: Path, **options: Any) -> TensorBoardLogger:
    """Return the logger of a run's folder; the options are those of torch's `SummaryWriter`."""
    return TensorBoardLogger(folder, 'tensorboard', '', **options)
