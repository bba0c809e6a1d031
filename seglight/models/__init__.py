"""mmsegmentation's segmentors as a LightningModule: building, inference, losses, metrics, optimizers, schedules."""

from seglight import compat  # noqa: F401  (first: mmcv and torchmetrics import torchvision)
from seglight.models.segmentor import Segmentor

__all__ = ['Segmentor']
