"""The average of the weights before there is one, and after the last epoch."""

from __future__ import annotations

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging


class TrainedUntilAveraged(Callback):
    """Lets Lightning's `WeightAveraging` use the trained weights until it has averaged any.

    It makes its copy of the weights before training. Until its first update (`update_starting_at_step`) it would
    validate and save that copy, and end with it a run that is shorter.
    """

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the copy up to date before it is validated."""
        _follow(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the copy up to date before the run may end with it."""
        _follow(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the trained weights."""
        if 'current_model_state' in checkpoint and _waiting(trainer):
            checkpoint['state_dict'] = checkpoint['current_model_state']


class AveragedAtEnd(Callback):
    """Lets the last checkpoint hold the average of Lightning's `StochasticWeightAveraging` for any model.

    With BatchNorm the average has an epoch of its own, and its checkpoint. Without, Lightning takes the average after
    everything is saved.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the average at the end of the last epoch, before the checkpoint is written."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
        averaging = [each for each in callbacks if isinstance(each, StochasticWeightAveraging)]
        for each in averaging:
            if each._average_model is not None and _ends_now(each, trainer, pl_module):
                each.transfer_weights(each._average_model, pl_module)


def averaging_epochs(trainer: Trainer, module: LightningModule) -> int:
    """Return how many epochs `StochasticWeightAveraging` adds to `max_epochs`, for the statistics of BatchNorm."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averaging = [each for each in callbacks if isinstance(each, StochasticWeightAveraging)]
    return sum(each.pl_module_contains_batch_norm(module) for each in averaging)


def _ends_now(averaging: StochasticWeightAveraging, trainer: Trainer, module: LightningModule) -> bool:
    """Tell whether the epoch that ends is the last, and nothing takes the average after it."""
    last = averaging._initialized and trainer.current_epoch == averaging.swa_end
    return last and not averaging.pl_module_contains_batch_norm(module)


def _waiting(trainer: Trainer) -> list[WeightAveraging]:
    """Return the callbacks that have averaged nothing yet."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    averaging = [each for each in callbacks if isinstance(each, WeightAveraging)]
    return [each for each in averaging if each._average_model and not each._average_model.n_averaged]


def _follow(trainer: Trainer, module: LightningModule) -> None:
    """Copy the trained weights to the average of each callback that has averaged nothing yet."""
    for callback in _waiting(trainer):
        if callback._average_model is not None:
            callback._average_model.module.load_state_dict(module.state_dict())
