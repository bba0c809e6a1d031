"""Images and masks from files to batches; knows nothing of models."""

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.data.datamodule import SegmentationDataModule

__all__ = ['SegmentationDataModule']
