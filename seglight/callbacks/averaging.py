"""Make Lightning's weight averaging work before the first average, and save the average of the last epoch."""

from __future__ import annotations

import itertools
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import StochasticWeightAveraging, WeightAveraging
from torch import nn
from torch.optim.swa_utils import AveragedModel

from seglight.trainer_callbacks import find_callbacks


class TrainedUntilAveraged(Callback):
    """Lets Lightning's `WeightAveraging` use the trained weights until its first update.

    `WeightAveraging` copies the weights before training. Until its first update (`update_starting_at_step`) it would
    validate and save this untrained copy, and a shorter run would end with it.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the average know that it has begun, so that it does not wait for the device in every step."""
        for callback in find_callbacks(trainer, WeightAveraging):
            if callback._average_model is not None:
                callback._average_model.__class__ = _Average

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Update the copy before it is validated."""
        _follow(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Update the copy, since the run may end here."""
        _follow(trainer, pl_module)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the trained weights."""
        if 'current_model_state' in checkpoint and _waiting(trainer):
            checkpoint['state_dict'] = checkpoint['current_model_state']


class _Average(AveragedModel):
    """torch's average, but integer buffers are those of the trained model, such as Swin's and BEiT's indices.

    torch averages them, too, and truncates: 0.9999 * 11 + 0.0001 * 11 in float32 is below 11. It also reads in each
    step on the host whether the average has begun, here only until it has.
    """

    _has_begun = False

    def update_parameters(self, model: nn.Module) -> None:
        """Average the weights once more, as torch does."""
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if self._has_begun and self.avg_fn is not None:
            averaged = [(each, other) for each, other in buffers if self.use_buffers and each.is_floating_point()]
            parameters = zip(self.module.parameters(), model.parameters(), strict=True)
            for average, current in itertools.chain(parameters, averaged):
                other = current.detach().to(average.device)
                average.detach().copy_(self.avg_fn(average.detach(), other, self.n_averaged))
            self.n_averaged += 1
        else:
            super().update_parameters(model)
            self._has_begun = True
        for average, current in buffers:
            if not (self.use_buffers and average.is_floating_point()):
                average.copy_(current)


class AveragedAtEnd(Callback):
    """Makes the last checkpoint contain the average of Lightning's `StochasticWeightAveraging`, for any model.

    For a model with BatchNorm, Lightning adds an epoch for the average, which also writes a checkpoint. For other
    models, Lightning copies the average to the model only after the last checkpoint is written.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Copy the average to the model at the end of the last epoch, before the checkpoint is written."""
        for each in find_callbacks(trainer, StochasticWeightAveraging):
            if each._average_model is not None and _ends_now(each, trainer, pl_module):
                each.transfer_weights(each._average_model, pl_module)


def averaging_epochs(trainer: Trainer, module: LightningModule) -> int:
    """Return how many epochs `StochasticWeightAveraging` adds to `max_epochs` to update BatchNorm's statistics."""
    averaging = find_callbacks(trainer, StochasticWeightAveraging)
    return sum(each.pl_module_contains_batch_norm(module) for each in averaging)


def _ends_now(averaging: StochasticWeightAveraging, trainer: Trainer, module: LightningModule) -> bool:
    """Return whether the last epoch is ending, and Lightning adds none for BatchNorm."""
    last = averaging._initialized and trainer.current_epoch == averaging.swa_end
    return last and not averaging.pl_module_contains_batch_norm(module)


def _waiting(trainer: Trainer) -> list[WeightAveraging]:
    """Return the callbacks that have not averaged any weights yet."""
    averaging = find_callbacks(trainer, WeightAveraging)
    return [each for each in averaging if each._average_model and not each._average_model.n_averaged]


def _follow(trainer: Trainer, module: LightningModule) -> None:
    """Copy the trained weights to the average of each callback that has not averaged any weights yet."""
    for callback in _waiting(trainer):
        if callback._average_model is not None:
            callback._average_model.module.load_state_dict(module.state_dict())
