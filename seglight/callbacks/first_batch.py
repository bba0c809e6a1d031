"""Check before a run starts that the model can train on the batches that the data gives."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import BatchSizeFinder

from seglight.data import SegmentationDataModule
from seglight.models import Segmentor
from seglight.models.first_batch import check_first_batch
from seglight.trainer_callbacks import find_callback

#: Training images from which the size of a batch is taken.
IMAGES = 4


class FirstBatchCheck(Callback):
    """Ends a run before anything is written if the model cannot train on images of the size of the first ones.

    Reports if they need padding. Needs a `Segmentor` and a `SegmentationDataModule`; does nothing for others.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load a few training images, and try their size on shapes alone.

        Raises:
            ConfigError: if the model cannot train on it.
        """
        data: Any = getattr(trainer, 'datamodule', None)
        if stage != 'fit' or not isinstance(pl_module, Segmentor) or not isinstance(data, SegmentationDataModule):
            return
        size = data.training_size(IMAGES)
        images = min(data.batch_size, len(data.datasets['train'])) * trainer.world_size
        if find_callback(trainer, BatchSizeFinder):
            images = max(images, 2)  # it starts with two
        needed = check_first_batch(pl_module.segmentor, images, size)
        if needed != size:
            pl_module.report_padding(size, needed)
