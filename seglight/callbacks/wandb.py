"""Log a run to Weights & Biases, with tables and masks for segmentation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger

from seglight.batch import without_padding
from seglight.callbacks.evaluation import Candidate, EvaluationRecorder
from seglight.callbacks.run_folder import RunFolder
from seglight.callbacks.wandb_logger import STATE, SteppedLogger, offline_reason, read_state
from seglight.callbacks.wandb_media import media
from seglight.console import labelled
from seglight.data.value_range import range_of
from seglight.errors import UsageError, one_line, say, warn
from seglight.host_copy import HostCopy
from seglight.masking import masked
from seglight.run import run_folder
from seglight.trainer_callbacks import find_callback


class WandbRun(Callback):
    """Logs a training run to W&B: all metrics and, with an `EvaluationRecorder`, tables, confusion matrix and images.

    Without an API key or a network, the run is logged offline, to its own folder, and can be synced later. W&B never
    ends the training. A run that resumes in its own folder resumes in W&B, too, using the file `wandb.json` there; it
    does not log steps twice. `WANDB_MODE=disabled` turns logging off, `WANDB_MODE=offline` keeps it offline.

    Args:
        project: W&B project; without one, nothing is logged.
        entity: user or team that the project belongs to.
        group: group of the run.
        name: name of the run, by default that of its folder.
        tags: labels of the run.
        notes: text about the run.
        num_images: number of fixed validation images to show with their masks, and of the worst images.
        log_checkpoints: whether to upload the best checkpoint as an artifact at the end.
        log_gradients: whether to log histograms of the gradients.
    """

    def __init__(
        self,
        project: str | None = None,
        entity: str | None = None,
        group: str | None = None,
        name: str | None = None,
        tags: list[str] | None = None,
        notes: str | None = None,
        num_images: int = 4,
        log_checkpoints: bool = False,
        log_gradients: bool = False,
    ) -> None:
        self.project = project
        self.arguments = {'entity': entity, 'group': group, 'notes': notes}
        self.name = name
        self.tags = list(tags or [])
        self.num_images = num_images
        self.log_checkpoints = log_checkpoints
        self.log_gradients = log_gradients
        self.logger: SteppedLogger | None = None
        self._seen = 0
        self._fixed: list[Candidate] = []

    @property
    def is_on(self) -> bool:
        """Whether anything is logged."""
        off = os.environ.get('WANDB_MODE') == 'disabled' or os.environ.get('WANDB_DISABLED', '').lower() == 'true'
        return self.project is not None and not off

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the W&B run, or resume the one of the folder.

        Raises:
            UsageError: if wandb is not installed.
        """
        if not self.is_on or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = run_folder(trainer)
        if not trainer.is_global_zero:
            return
        if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
            warn('trainer.logger has a WandbLogger, so wandb.project is ignored; remove one of the two')
            return
        try:
            import wandb
        except ImportError as error:
            raise UsageError('wandb.project is set, but wandb is not installed: pip install wandb') from error
        reason = offline_reason(wandb.setup().settings.base_url)
        options = {
            **masked(self.arguments),
            'project': self.project,
            'name': self.name or folder.resolve().name,
            'tags': masked(self.tags),
            'dir': str(folder),
            'config': _config(find_callback(trainer, RunFolder)),
        }
        earlier = read_state(folder / STATE)
        try:
            self.logger = SteppedLogger(folder / STATE, earlier, online=not reason, **options)
        except wandb.errors.Error as error:  # rejected key, unknown project, slow server
            reason = one_line(error)
            self.logger = SteppedLogger(folder / STATE, earlier, online=False, **options)
        run = self.logger.experiment
        if reason:
            say(labelled('W&B', f'offline ({reason}); sync later with: wandb sync {Path(run.dir).parent}'))
        else:
            say(labelled('W&B', run.url))
        trainer.loggers = [*trainer.loggers, self.logger]
        if self.log_gradients:
            self.logger.watch(pl_module, log='gradients', log_freq=trainer.log_every_n_steps, log_graph=False)  # type: ignore[attr-defined]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting the images."""
        self._seen = 0
        self._fixed = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the predictions of the fixed images, which are spread over the data set."""
        if self.logger is None or trainer.sanity_checking:
            return
        loader: Any = trainer.val_dataloaders
        count = len(loader.dataset) // trainer.world_size
        step = max(1, count // max(1, self.num_images))
        for output, mask, meta in zip(outputs['predictions'], batch['mask'], batch['meta'], strict=True):
            prediction = output.mask
            if self._seen % step == 0 and len(self._fixed) < self.num_images:
                # Cloned, so that the other images of the batch are freed.
                copies = HostCopy(without_padding(mask, prediction).clone()), HostCopy(prediction.clone())
                self._fixed.append(Candidate(meta['path'], meta['name'], float('nan'), *copies))
            self._seen += 1

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log tables and images of the validation; the module logs the metrics."""
        recorder = find_callback(trainer, EvaluationRecorder)
        if self.logger is None or trainer.sanity_checking or recorder is None or recorder.evaluation is None:
            return
        evaluation = recorder.evaluation
        step = trainer.fit_loop.epoch_loop._batches_that_stepped  # the step that Lightning's own callbacks log with
        worst = evaluation.worst[: self.num_images]
        fixed = [candidate.example() for candidate in self._fixed]
        value_range = range_of(trainer)
        self.logger.log_media(lambda: media(evaluation, fixed, worst, value_range), step)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Upload the best checkpoint if requested, and finish the W&B run."""
        if self.logger is None:
            return
        best = next((path for path in map(_best_path, trainer.checkpoint_callbacks) if path), None)
        if self.log_checkpoints and best:
            self.logger.log_checkpoint(Path(best))
        self._finish(0)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Finish the W&B run as failed; it can be resumed."""
        self._finish(1)

    def _finish(self, exit_code: int) -> None:
        if self.logger is not None:
            self.logger.finish(exit_code)
            self.logger = None


def _config(run: RunFolder | None) -> dict[str, Any]:
    """Return the resolved config of a run, and its environment."""
    if run is None:
        return {}
    return {**yaml.safe_load(run.config), 'environment': yaml.safe_load(run.environment or '{}')}


def _best_path(callback: Any) -> str:
    """Return the path of a callback's best checkpoint by a validation metric, or ''."""
    is_best = str(getattr(callback, 'monitor', None)).startswith('val/')
    if not is_best or not callback.best_model_path:
        return ''
    # The state may come from a checkpoint, and name any file.
    in_folder = Path(callback.best_model_path).resolve().parent == Path(str(callback.dirpath)).resolve()
    return callback.best_model_path if in_folder else ''
