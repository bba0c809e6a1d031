"""The learning rate of each parameter group in the logs."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from torch.optim import Optimizer


class LearningRates(LearningRateMonitor):
    """Lightning's `LearningRateMonitor`, which logs inside the step.

    Lightning's logs before the step, where a checkpoint between two steps would already have a row of
    the one to come; a run that goes on from it would log that row twice.
    """

    def __init__(self) -> None:
        super().__init__(logging_interval='step')

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Log nothing yet."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log the rates that this step takes."""
        super().on_train_batch_start(trainer)
