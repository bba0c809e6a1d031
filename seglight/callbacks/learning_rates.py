"""The learning rate of each parameter group in the logs."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateMonitor
from torch.optim import Optimizer


class LearningRates(LearningRateMonitor):
    """Lightning's `LearningRateMonitor`, but it logs inside the step.

    Lightning's logs before the step. A checkpoint between two steps would then already contain the row of the next
    step, and a run that resumes from it would log that row again.
    """

    def __init__(self) -> None:
        super().__init__(logging_interval='step')

    def on_train_batch_start(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Do not log yet."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Log the rates of this step."""
        super().on_train_batch_start(trainer)
