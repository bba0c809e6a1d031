"""The LightningModule around an mmseg segmentor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, get_args

import torch
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics import MeanMetric

from seglight.batch import Batch
from seglight.config.class_names import check_count
from seglight.config.classes import name_and_arguments
from seglight.console import labelled
from seglight.errors import CheckpointError, ConfigError, UsageError, warn
from seglight.masking import masked
from seglight.models.compilation import compile_parts
from seglight.models.fitting import padded, scaled, training_meta, training_size
from seglight.models.freezing import freeze
from seglight.models.inference.logits import Prediction
from seglight.models.inference.module import PredictingModule
from seglight.models.inference.resampling import Size
from seglight.models.initialising import is_only_loading
from seglight.models.loss_checks import losses_of_ignored_pixels
from seglight.models.loss_items import mean, total, without_untrue_accuracy
from seglight.models.metrics import PerClass, SegmentationMetrics, count_confusion
from seglight.models.non_finite import Step
from seglight.models.optimizer_state import keep_settings
from seglight.models.optimizers import build_optimizer
from seglight.models.recipe import Recipe
from seglight.models.schedules import MmcvSchedule, find_updater
from seglight.models.validation_loss import labelled_images
from seglight.models.without_losses import drop_unknown_losses
from seglight.palette import default_palette
from seglight.run import run_folder
from seglight.steps import planned_steps, resumes, steps_of_an_epoch

if TYPE_CHECKING:
    from typing_extensions import Self

IMAGENET_MEAN = [123.675, 116.28, 103.53]
IMAGENET_STD = [58.395, 57.12, 57.375]

DEFAULT_OPTIMIZER = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.01}
DEFAULT_SCHEDULE = {'policy': 'poly', 'power': 0.9}


class Evaluated(TypedDict):
    """What a step of validation or test returns: for each image its prediction and its `count_confusion`."""

    predictions: list[Prediction]
    confusions: list[Tensor]


class Segmentor(PredictingModule):
    """Trains, validates and predicts with any segmentor of mmsegmentation.

    Args:
        segmentor: mmseg model dict, as in mmseg's configs (`type: EncoderDecoder`, `backbone`, ...).
        classes: names of the classes; their number is set in every head. The command line takes
            them from the data where they are not given.
        palette: an RGB colour in 0 to 255 for each class; generated where not given.
        mean: RGB mean in 0 to 255, subtracted on the device.
        std: RGB standard deviation in 0 to 255.
        ignore_index: label in the masks that counts neither in the loss nor in the metrics; 255 by default.
        optimizer: mmseg's `optimizer`: `type` (torch's by name, others by class path), its arguments,
            `paramwise_cfg` and `constructor`.
        schedule: mmseg's `lr_config`: `policy`, its arguments, `warmup` and so on; counts the steps of
            the optimizer, or epochs where `by_epoch` is true.
        frozen: names of parts that do not train, with wildcards; their BatchNorm statistics stay too.
        per_class: figures to log for each class beside the means.
        boundary_iou: whether to compute boundary IoU in validation and test.
        val_loss: whether to log `val/loss` (and `test/loss`), the mean over the images of the loss that training
            takes, without dropout; it costs a second pass through the model.
        channels_last: keep weights, and so all features, in torch's channels-last memory format; faster
            for convolutions, but some of mmseg's heads cannot take it.
        compile: let torch.compile make each part of the segmentor faster; what it cannot compile runs as it is.
        non_finite: whether a loss that is infinite or NaN stops the run, with the batch saved, or the batch is
            skipped and counted as `train/skipped`; skipping needs a single process.

    Raises:
        ConfigError: if mmseg cannot build the segmentor.
    """

    def __init__(
        self,
        segmentor: dict[str, Any],
        classes: list[str] | None = None,
        palette: list[list[int]] | None = None,
        mean: list[float] = IMAGENET_MEAN,
        std: list[float] = IMAGENET_STD,
        ignore_index: int | None = None,
        optimizer: dict[str, Any] | None = None,
        schedule: dict[str, Any] | None = None,
        frozen: list[str] | None = None,
        per_class: list[PerClass] = ['IoU'],
        boundary_iou: bool = False,
        val_loss: bool = False,
        channels_last: bool = False,
        compile: bool = False,  # noqa: A002  (what torch calls it)
        non_finite: Literal['stop', 'skip'] = 'stop',
    ) -> None:
        _check_normalisation(mean, std)
        super().__init__(mean, std, channels_last)
        if not classes:
            raise UsageError('model.classes is empty: name the classes in data.classes')
        check_count(classes)
        recipe = Recipe(segmentor).with_read_weights()
        segmentor = recipe.model  # so that a checkpoint holds the numbers and names no file
        # How it was trained is in the run's config; the hyperparameters say how to build it.
        self.save_hyperparameters(
            ignore=['optimizer', 'schedule', 'frozen', 'compile', 'non_finite', 'val_loss'], logger=False
        )
        self.classes = classes
        self.palette = palette or default_palette(len(classes))
        self.ignore_index = 255 if ignore_index is None else ignore_index
        name, arguments = name_and_arguments(optimizer or DEFAULT_OPTIMIZER, 'model.optimizer')
        self.optimizer = {'type': name, **arguments}
        self.schedule = schedule or DEFAULT_SCHEDULE
        self.frozen = frozen or []
        self.segmentor = recipe.for_data(len(classes), self.ignore_index).build()
        self._frozen_parts = freeze(self.segmentor, self.frozen)
        if 'BoundaryIoU' in per_class and not boundary_iou:
            message = 'names BoundaryIoU: switch it on with model.boundary_iou: true'
            raise ConfigError('model.per_class', message)
        if not is_only_loading():  # what is wrong with these shows before the data is read
            build_optimizer(self.segmentor, self.optimizer)
            find_updater(self.schedule)
        if channels_last:
            self.segmentor.to(memory_format=torch.channels_last)
        self.compile_parts = compile
        self.non_finite = non_finite
        self.skipped = 0
        self._told_of_padding = False
        self._found_lr: float | None = None  #: by Lightning's `LearningRateFinder`
        self.wants_sync_bn = recipe.wants_sync_bn
        self.metrics = SegmentationMetrics(len(classes), self.ignore_index, boundary_iou)
        self.per_class = per_class
        self.mean_loss = MeanMetric() if val_loss else None
        self.unseen: list[str] = []  #: classes that no mask of the last validation or test showed
        self.register_load_state_dict_pre_hook(drop_unknown_losses)  # type: ignore[no-untyped-call]
        self.run_folder = Path()  #: known when a fit starts

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's own lets the checkpoint name what is called
        cls,
        checkpoint_path: str | Path,
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        trust_checkpoint: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Return the segmentor in a checkpoint; its settings pass the same gate as for `seglight predict`.

        Args:
            checkpoint_path: the file.
            map_location: device of the weights; the CPU by default.
            hparams_file: not supported: give what is to be different as `kwargs`.
            strict: whether all weights must fit; true by default.
            weights_only: Lightning's; whatever it says, nothing but weights and plain values is read.
            trust_checkpoint: whether the file is one's own, so that it may name classes of any package.
            kwargs: arguments that win over those in the checkpoint.

        Raises:
            CheckpointError: if the file cannot be read, does not pass, or does not fit.
        """
        from seglight.checkpoints.checkpoint import Checkpoint  # late: it knows this module

        del weights_only
        if hparams_file is not None:
            raise CheckpointError('hparams_file is not supported; give its values as keyword arguments')
        checkpoint = Checkpoint(checkpoint_path, trust_checkpoint)
        module = checkpoint.build(cls, kwargs, strict is not False)
        checkpoint.load_into(module, strict=strict is not False)
        module.on_load_checkpoint(checkpoint.entries)
        return module.to(map_location or 'cpu')

    def setup(self, stage: str) -> None:
        """Make BatchNorm synchronous where the model dict asks for it and there are several GPUs."""
        # The module itself moves to its device only later.
        on_gpu = self.trainer.strategy.root_device.type == 'cuda'
        if self.wants_sync_bn and self.trainer.world_size > 1 and on_gpu:
            self.segmentor = nn.SyncBatchNorm.convert_sync_batchnorm(self.segmentor)
            self._frozen_parts = freeze(self.segmentor, self.frozen)
        if self.non_finite == 'skip' and self.trainer.world_size > 1:
            raise UsageError('model.non_finite: skip needs a single process: the others would wait for it')
        if self.compile_parts:
            compile_parts(self.segmentor, self.trainer.strategy.root_device)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all parts but the frozen ones, which stay in eval mode."""
        super().train(mode)
        for part in self._frozen_parts:
            part.eval()
        return self

    def on_fit_start(self) -> None:
        """Find the run's folder on all ranks: `log_dir` is a broadcast, for which one rank alone waits for ever."""
        self.run_folder = run_folder(self.trainer)
        for doubt in losses_of_ignored_pixels(self.segmentor):
            rank_zero_only(warn)(doubt)

    def on_train_start(self) -> None:
        """Start with the rate of the schedule: Lightning's finder sets one rate for all groups."""
        for config in self.trainer.lr_scheduler_configs:
            for group, rate in zip(
                self.trainer.optimizers[0].param_groups, config.scheduler.get_last_lr(), strict=True
            ):
                group['lr'] = rate

    def on_train_epoch_start(self) -> None:
        """Let mmseg's backbones put in eval mode what `norm_eval` and `frozen_stages` say, as mmcv's Runner does."""
        self.train()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """Return the segmentor's own loss and log every item of its loss dict; None for a batch to skip."""
        meta = batch['meta']
        items = {name: mean(value) for name, value in self.losses(batch).items()}
        loss = total(items)
        logged = {f'train/{name}': value.detach() for name, value in items.items()}
        self.log_dict(logged, batch_size=len(meta))
        self.log('train/loss', loss.detach(), prog_bar=True, batch_size=len(meta))
        self._step = Step(batch, logged, loss.detach())
        if self.non_finite == 'stop':
            return loss
        if not torch.isfinite(loss):
            self.skipped += 1
            rank_zero_warn(f'Batch {self.skipped} skipped, because its loss is not finite {self._step.describe()}')
        self.log('train/skipped', float(self.skipped), batch_size=len(meta))
        return loss if torch.isfinite(loss) else None

    def on_after_backward(self) -> None:
        """Stop before a loss that is not finite spoils the weights.

        Only here, because looking at the loss earlier would keep a GPU waiting for the backward pass.

        Raises:
            TrainingError: with where the batch was saved.
        """
        if torch.isfinite(self._step.loss):
            return
        raise self._step.save(self.run_folder, self.global_step, self.current_epoch)

    def losses(self, batch: Batch) -> dict[str, Tensor | list[Tensor]]:
        """Return mmseg's loss dict of a batch."""
        meta = batch['meta']
        image = self._normalize(batch['image'], [item['size'] for item in meta], batch.get('padding'))
        mask = batch['mask']
        size = training_size(self.segmentor, image)
        if image.shape[2:] != size:
            self._tell_of_padding((image.shape[2], image.shape[3]), size)
            mask = padded(mask, scaled(size, image, mask), self.ignore_index)
            image = padded(image, size)
        mask = mask.unsqueeze(1).long()  # [B, 1, H, W], as mmseg's heads want it
        losses: dict[str, Tensor | list[Tensor]] = self.segmentor.forward_train(image, training_meta(meta), mask)
        return without_untrue_accuracy(losses, self.segmentor)

    def validation_step(self, batch: Batch, batch_idx: int) -> Evaluated:
        """Count the predictions of a batch, at the masks' own size, and return them with the counts of each image."""
        predictions = self.predict_step(batch, batch_idx)
        confusions = []
        for prediction, mask in zip(predictions, batch['mask'], strict=True):
            height, width = prediction.mask.shape
            label = mask[:height, :width]
            confusions.append(count_confusion(prediction.mask, label, len(self.classes), self.ignore_index))
            self.metrics.update(prediction.mask, label, confusions[-1])
        if self.mean_loss is not None:
            for one in labelled_images(batch, self.ignore_index):
                self.mean_loss.update(self._loss_of(one))
        return {'predictions': predictions, 'confusions': confusions}

    def _loss_of(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, of which nothing is learnt."""
        return total({name: mean(value) for name, value in self.losses(batch).items()}).float()

    def figures(self) -> list[str]:
        """Return the names of what a validation logs, without `val/`."""
        counted = [name for name in get_args(PerClass) if name != 'BoundaryIoU' or self.metrics.boundary_iou]
        classes = [f'{figure}.{name}' for figure in self.per_class for name in self.classes]
        return [*(f'm{name}' for name in counted), 'aAcc', *['loss'] * (self.mean_loss is not None), *classes]

    def test_step(self, batch: Batch, batch_idx: int) -> Evaluated:
        """Do what `validation_step` does."""
        return self.validation_step(batch, batch_idx)

    def on_validation_epoch_start(self) -> None:
        """Count from zero, in tensors of this pass: those of `Trainer.validate` cannot change while a model trains."""
        self.metrics.reset()
        if self.mean_loss is not None:
            self.mean_loss.reset()

    def on_test_epoch_start(self) -> None:
        """Do what `on_validation_epoch_start` does."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Log the means and what `per_class` names under `val/`."""
        self._log_metrics('val')

    def on_test_epoch_end(self) -> None:
        """Log the means and what `per_class` names under `test/`."""
        self._log_metrics('test')

    @property
    def lr(self) -> float | None:
        """The learning rate of the config, which Lightning's `LearningRateFinder` sets."""
        return self.optimizer.get('lr')

    @lr.setter
    def lr(self, value: float) -> None:
        self._found_lr = float(value)
        self.optimizer = {**self.optimizer, 'lr': value}
        if self._trainer is not None:  # a finder is at work, after Lightning has built optimizer and schedule
            self.trainer.strategy.setup_optimizers(self.trainer)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its schedule, which is stepped after every optimizer step."""
        optimizer = build_optimizer(self.segmentor, self.optimizer)
        steps = planned_steps(self.trainer)
        self.trainer.fit_loop.setup_data()  # else the batches of an epoch are unknown in a run counted in steps
        updater: Any = find_updater(self.schedule)
        epoch_steps = steps_of_an_epoch(self.trainer, updater.by_epoch or updater.warmup_by_epoch)
        scheduler = MmcvSchedule(optimizer, updater, steps, epoch_steps)
        keep_settings(optimizer, self.segmentor)
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave no secret and no address of pretrained weights in a checkpoint; count skipped batches on after it."""
        checkpoint['skipped'] = self.skipped
        checkpoint['found_lr'] = self._found_lr
        parameters = checkpoint.get('hyper_parameters', {})
        if 'segmentor' in parameters:
            segmentor = masked(Recipe(parameters['segmentor']).without_pretrained().model)
            checkpoint['hyper_parameters'] = {**parameters, 'segmentor': segmentor}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count skipped batches on from where the checkpoint was saved; go on with the rate that a finder found."""
        self.skipped = checkpoint.get('skipped', 0)
        found = checkpoint.get('found_lr')
        if found is not None and self._trainer is not None and resumes(self.trainer):
            callbacks: list[Callback] = self.trainer.callbacks  # type: ignore[attr-defined]
            if any(isinstance(callback, LearningRateFinder) for callback in callbacks):
                self._found_lr = found
                self.optimizer = {**self.optimizer, 'lr': found}

    def _log_metrics(self, stage: str) -> None:
        figures = self.metrics.compute()
        self.metrics.reset()
        # Of pixels that no mask has, recall alone is always undefined.
        self.unseen = [name for name, recall in zip(self.classes, figures['Acc'], strict=True) if recall.isnan()]
        self.log_dict({f'{stage}/{name}': value.float() for name, value in figures.items() if value.ndim == 0})
        if self.mean_loss is not None:
            self.log(f'{stage}/loss', self.mean_loss.compute().float())
            self.mean_loss.reset()
        for figure in self.per_class:
            values = zip(self.classes, figures[figure], strict=True)
            self.log_dict({f'{stage}/{figure}.{name}': value.float() for name, value in values})

    def _tell_of_padding(self, given: Size, size: Size) -> None:
        """Say once that the crops of the config are not what the backbone takes."""
        if self.training and not self._told_of_padding:  # the loss of a validation needs no cure
            self._told_of_padding = True
            backbone = type(self.segmentor.backbone).__name__
            (height, width), (height_given, width_given) = size, given
            text = (
                f'{backbone} cannot take {width_given}x{height_given} pixels: batches are padded to '
                f'{width}x{height}, and the loss ignores the padding; a crop of {width}x{height} needs none'
            )
            rank_zero_only(print)(labelled('Padding', text), flush=True)


def _check_normalisation(mean: list[float], std: list[float]) -> None:
    """Refuse what is no number for each of red, green and blue, or would divide by zero."""
    for name, values in (('mean', mean), ('std', std)):
        if len(values) != 3 or (name == 'std' and min(values) <= 0):
            above = ', each above 0' if name == 'std' else ''
            raise ConfigError(f'model.{name}', f'must be three numbers, for red, green and blue{above}, got {values}')
