"""The LightningModule around an mmseg segmentor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from seglight.config.checkpoint import without_pretrained
from seglight.errors import ConfigError
from seglight.models import building
from seglight.models.inference import batch_logits, normalize, predict_mask
from seglight.models.metrics import SegmentationMetrics
from seglight.models.schedules import PolySchedule
from seglight.palette import default_palette

#: A batch: `image` uint8 [B, 3, H, W], `mask` uint8 [B, H, W], `meta` a list of B; see `seglight.data.batch`.
Batch = dict[str, Any]

IMAGENET_MEAN = [123.675, 116.28, 103.53]
IMAGENET_STD = [58.395, 57.12, 57.375]


class Segmentor(LightningModule):
    """Trains, validates and predicts with any segmentor of mmsegmentation.

    Args:
        segmentor: mmseg model dict, as in mmseg's configs (`type: EncoderDecoder`, `backbone`, ...).
        classes: names of the classes; their number is set in every head. The command line takes
            them from the data where they are not given.
        palette: an RGB colour in 0 to 255 for each class; generated where not given.
        mean: RGB mean in 0 to 255, subtracted on the device.
        std: RGB standard deviation in 0 to 255.
        ignore_index: label in the masks that counts neither in the loss nor in the metrics; 255 by default.
        optimizer: a torch optimizer class and its arguments.
        schedule: the learning rate over the optimizer steps of the run.
        channels_last: keep weights, and so all features, in torch's channels-last memory format; faster
            for convolutions, but some of mmseg's heads cannot take it.

    Raises:
        ConfigError: if mmseg cannot build the segmentor.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        segmentor: dict[str, Any],
        classes: list[str] | None = None,
        palette: list[list[int]] | None = None,
        mean: list[float] = IMAGENET_MEAN,
        std: list[float] = IMAGENET_STD,
        ignore_index: int | None = None,
        optimizer: Callable[[Iterable[Tensor]], Optimizer] = torch.optim.AdamW,
        schedule: PolySchedule | None = None,
        channels_last: bool = False,
    ) -> None:
        super().__init__()
        if not classes:
            raise ConfigError('model.classes is empty: name the classes in data.classes')
        if not 2 <= len(classes) <= 255:
            raise ConfigError(f'data.classes names {len(classes)} classes; 2 to 255 are possible', ('data', 'classes'))
        # Optimizer and schedule are objects of the run; a checkpoint holds plain values only, so that it
        # loads without unpickling. The run's config names them.
        self.save_hyperparameters(ignore=['optimizer', 'schedule'], logger=False)
        self.classes = classes
        self.palette = palette or default_palette(len(classes))
        self.ignore_index = 255 if ignore_index is None else ignore_index
        self.optimizer = optimizer
        self.schedule = schedule or PolySchedule()
        self.segmentor = building.build(segmentor, len(classes), self.ignore_index)
        if channels_last:
            self.segmentor.to(memory_format=torch.channels_last)
        self.wants_sync_bn = building.wants_sync_bn(segmentor)
        self.metrics = SegmentationMetrics(len(classes), self.ignore_index)
        # Not persistent: they are hyperparameters, which a checkpoint holds already.
        self.register_buffer('mean', torch.tensor(mean), persistent=False)
        self.register_buffer('std', torch.tensor(std), persistent=False)

    def setup(self, stage: str) -> None:
        """Make BatchNorm synchronous where the model dict asks for it and there are several GPUs."""
        # The module itself moves to its device only later.
        on_gpu = self.trainer.strategy.root_device.type == 'cuda'
        if self.wants_sync_bn and self.trainer.world_size > 1 and on_gpu:
            self.segmentor = nn.SyncBatchNorm.convert_sync_batchnorm(self.segmentor)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the segmentor's own loss and log every item of its loss dict."""
        meta = batch['meta']
        image = self._normalize(batch['image'], [item['size'] for item in meta])
        mask = batch['mask'].unsqueeze(1).long()  # [B, 1, H, W], as mmseg's heads want it
        losses = self.segmentor.forward_train(image, [self._mmseg_meta(item) for item in meta], mask)
        items = {name: _mean(value) for name, value in losses.items()}
        loss = torch.stack([value for name, value in items.items() if 'loss' in name]).sum()
        logged = {f'train/{name}': value.detach() for name, value in items.items()}
        self.log_dict(logged, batch_size=len(meta))
        self.log('train/loss', loss.detach(), prog_bar=True, batch_size=len(meta))
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """Add the predictions of a batch, at the masks' own size, to the confusion matrix.

        Returns:
            For callbacks, of each image: `logits` float32 `[C, H, W]` and `prediction` uint8 `[H, W]`.
        """
        logits = self(batch)
        predictions = [predict_mask(self.segmentor, single) for single in logits]
        for prediction, mask in zip(predictions, batch['mask'], strict=True):
            height, width = prediction.shape
            self.metrics.update(prediction, mask[:height, :width])
        return {'logits': logits, 'prediction': predictions}

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, list[Tensor]]:
        """Do what `validation_step` does."""
        return self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log mIoU, mAcc, aAcc and the IoU of each class under `val/`."""
        self._log_metrics('val')

    def on_test_epoch_end(self) -> None:
        """Log mIoU, mAcc, aAcc and the IoU of each class under `test/`."""
        self._log_metrics('test')

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Tensor]:
        """Return the predicted mask of each image, uint8 `[H, W]` at the size of its file."""
        return [predict_mask(self.segmentor, logits) for logits in self(batch)]

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return the logits of each image, float32 `[C, H, W]` at the size of its file."""
        sizes = [item['size'] for item in batch['meta']]
        image = self._normalize(batch['image'], sizes)
        return batch_logits(self.segmentor, image, sizes, [item['original_size'] for item in batch['meta']])

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and its schedule, which is stepped after every optimizer step."""
        optimizer = self.optimizer(self.segmentor.parameters())
        steps = self.trainer.estimated_stepping_batches
        if steps == float('inf'):
            raise ConfigError('the schedule decays over the run: give --trainer.max_epochs or --trainer.max_steps')
        scheduler = self.schedule.build(optimizer, int(steps))
        return {'optimizer': optimizer, 'lr_scheduler': {'scheduler': scheduler, 'interval': 'step'}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave no address of pretrained weights in a checkpoint: it has all weights itself."""
        parameters = checkpoint.get('hyper_parameters', {})
        if 'segmentor' in parameters:
            segmentor = without_pretrained(parameters['segmentor'])
            checkpoint['hyper_parameters'] = {**parameters, 'segmentor': segmentor}

    def _normalize(self, image: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
        """Normalise in float32, then take the dtype of the weights (`precision: bf16-true`)."""
        dtype = next(self.segmentor.parameters()).dtype
        return normalize(image, self.mean.float(), self.std.float(), sizes).to(dtype)

    def _log_metrics(self, stage: str) -> None:
        figures = self.metrics.compute()
        self.metrics.reset()
        per_class = dict(zip(self.classes, figures['IoU'], strict=True))
        self.log_dict({f'{stage}/{name}': figures[name].float() for name in ('mIoU', 'mAcc', 'aAcc')})
        self.log_dict({f'{stage}/IoU.{name}': value.float() for name, value in per_class.items()})

    def _mmseg_meta(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return the meta dict that mmseg's heads expect in training."""
        return {
            'filename': item['path'],
            'ori_shape': (*item['original_size'], 3),
            'img_shape': (*item['size'], 3),
            'pad_shape': (*item['size'], 3),
            'scale_factor': 1.0,
            'flip': False,
        }


def _mean(value: Tensor | list[Tensor]) -> Tensor:
    """Reduce an item of mmseg's loss dict as mmseg's `BaseSegmentor._parse_losses` does."""
    return value.mean() if isinstance(value, Tensor) else torch.stack([part.mean() for part in value]).sum()
