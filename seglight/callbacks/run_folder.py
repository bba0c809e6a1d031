"""The folder of a run: claimed, filled, and written into checkpoints."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from seglight.callbacks.metrics_file import MetricsFile
from seglight.checkpoints.checkpoint import CONFIG_ENTRY, ENVIRONMENT_ENTRY, METRICS_ENTRY
from seglight.console import labelled
from seglight.errors import Interrupted, TrainingError, UsageError, UserError, say
from seglight.files import as_bytes, claim_run_folder, newest, resumable, write_atomically
from seglight.masking import masked_yaml
from seglight.run import CONFIG, ENVIRONMENT
from seglight.run_lock import RunLock, used
from seglight.steps import resumes

#: The entry of a checkpoint with the number of rows in `metrics.csv`.
ROWS_ENTRY = 'metrics_rows'


class RunFolder(Callback):
    """Creates the folder of a training run, and stores the run's config in it and in every checkpoint.

    If the data module has `records()`, which returns texts by file name, these are written too. If it has
    `record_left_out()`, it receives the path of the file for the skipped samples.

    The folder is created after the data module has found its files, so that wrong input leaves no folder behind.
    Checkpoint callbacks without a folder write into it.

    Args:
        config: the resolved config as YAML text, written to `config.yaml` and into checkpoints.
        folder: the folder; by default the next free `{root}/exp{N}`.
        root: the parent of the numbered folders.
        environment: the command line and the package versions, written to `environment.yaml` if given.
        log: whether to log to `metrics.csv` in the folder if the trainer has no logger.
        resumed: whether the run resumes in this folder, which may then contain files.
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
        self.keeps_log = log  # not `log`, an attribute that Lightning sets on every callback
        self.resumed = resumed
        self._created = False
        self._metrics: MetricsFile | None = None
        self._lock: RunLock | None = None

    @property
    def run_folder(self) -> Path | None:
        """The folder, known on all processes after the setup of a fit; see `seglight.run`."""
        return self.folder

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the folder on rank 0, and pass it to all ranks, the loggers and the checkpoint callbacks.

        Raises:
            UsageError: if the given folder is not empty, unless the run resumes in it.
        """
        if stage != 'fit':  # a later validation with the same trainer
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
        """Store the config in the checkpoint, so that it can be used alone, and the environment and the metrics."""
        checkpoint[CONFIG_ENTRY] = self.config
        if self._metrics:
            checkpoint[ROWS_ENTRY] = self._metrics.rows()
        checkpoint[METRICS_ENTRY] = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self.environment:
            checkpoint[ENVIRONMENT_ENTRY] = self.environment

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Remove what was logged after the checkpoint, since the run logs it again."""
        if self.resumed and self._metrics:
            self._metrics.cut(checkpoint.get(ROWS_ENTRY, 0))
            self._purge(trainer, checkpoint['global_step'])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove everything logged earlier if a run without a checkpoint starts again from the beginning."""
        if self._metrics and not resumes(trainer):
            self._metrics.cut(0)
            if self.resumed:
                self._purge(trainer, 0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the folder, now that everything has accepted the config."""
        if trainer.is_global_zero:
            say(labelled('Run', self.folder))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the folder again if wrong input or a failing model ended the run before its first step."""
        wrong_input = isinstance(exception, UserError) and not isinstance(exception, (Interrupted, TrainingError))
        refused = isinstance(exception, (RuntimeError, ValueError, MisconfigurationException))
        is_empty = self._created and trainer.global_step == 0
        if is_empty and (wrong_input or refused) and self.folder and not list(self.folder.glob('*.ckpt')):
            for logger in trainer.loggers:  # Lightning would make them write later, when the folder no longer exists
                if isinstance(logger, (MetricsFile, TensorBoardLogger)):
                    logger.finalize('failed')
            shutil.rmtree(self.folder, ignore_errors=True)
        self._release()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Release the folder for other runs."""
        self._release()

    def _release(self) -> None:
        if self._lock:
            self._lock.release()

    def _purge(self, trainer: Trainer, step: int) -> None:
        """Make TensorBoard ignore what was logged from a step on; call this before anything is logged."""
        if self.folder:
            trainer.loggers = [
                _tensorboard(self.folder, purge_step=step) if isinstance(logger, TensorBoardLogger) else logger
                for logger in trainer.loggers
            ]

    def summary(self) -> str:
        """Return the folder and the newest checkpoint, for the message about an interrupted run."""
        last = newest(resumable(self.folder)) if self.folder else None
        state = f'its newest checkpoint is {last.name}' if last else 'it has no checkpoint yet'
        return f'the run is in {self.folder}, {state}'

    def _write(self, folder: Path, records: dict[str, str]) -> None:
        """Write the records of the run that exist before it starts."""
        write_atomically(folder / CONFIG, as_bytes(self.config))
        if self.environment:
            write_atomically(folder / ENVIRONMENT, as_bytes(self.environment))
        for name, text in records.items():
            write_atomically(folder / name, as_bytes(text))

    def _claim(self) -> None:
        """Create and lock the folder; a given folder must be new or empty, unless the run resumes in it."""
        try:
            if self.folder is None:
                self.folder = claim_run_folder(self.root)
            self.folder.mkdir(parents=True, exist_ok=True)
            has_files = used(self.folder)
        except OSError as error:
            raise UsageError(f'cannot create the run folder {self.folder or self.root}: {error.strerror}') from error
        self._lock = RunLock(self.folder)
        self._lock.acquire()
        if has_files and not self.resumed:
            raise UsageError(
                f'--work-dir {self.folder} is not empty; choose another, or resume its run with --auto-resume'
            )
        self._created = not has_files


def _tensorboard(folder: Path, **options: Any) -> TensorBoardLogger:
    """Return the logger for a run's folder; the options are passed to torch's `SummaryWriter`."""
    return TensorBoardLogger(folder, 'tensorboard', '', **options)
