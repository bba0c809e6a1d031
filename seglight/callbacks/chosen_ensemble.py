"""An ensemble from a file: checkpoints with their own weights and views, and post-processing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from seglight.array_types import Size
from seglight.callbacks.soft_voting import load_voter
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.ensemble import Ensemble
from seglight.errors import UsageError
from seglight.models.inference.module import PredictingModule, needs_segmentor
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views
from seglight.voting import vote_weights


@dataclass
class Voice:
    """A module that votes with its own views, whatever those of the others are."""

    module: PredictingModule
    views: Views | None

    def probabilities(self, image: Tensor, original_size: Size, options: Options) -> Tensor:
        """Return the class probabilities of images of one size."""
        return self.module.probabilities(image, original_size, Options(self.views))


class ChosenEnsemble(Callback):
    """Predicts with the ensemble that `seglight ensemble` has chosen, in one pass over the data.

    For `validate`, `test` and `predict`. The module must be a `seglight.models.Segmentor` with the weights of the
    first checkpoint.

    Args:
        ensemble: the members and the post-processing.
        trust_checkpoint: whether the files are your own; they may then name classes of any package.

    Raises:
        UsageError: for wrong weights.
    """

    def __init__(self, ensemble: Ensemble, trust_checkpoint: bool = False) -> None:
        self.ensemble = ensemble
        self.trust_checkpoint = trust_checkpoint
        shares = [member.weight / len(member.checkpoints) for member in ensemble.members for _ in member.checkpoints]
        valid = vote_weights(shares, len(shares))
        if valid is None:
            raise UsageError(f'the weights of an ensemble must be above 0 for each of its {len(shares)} checkpoints')
        self.weights = valid
        self._options = Options()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the other checkpoints.

        Raises:
            CheckpointError: if one cannot be loaded or has different classes.
            UsageError: if the post-processing names a class that they do not have.
        """
        if stage == 'fit':
            return
        own = needs_segmentor(pl_module)
        classes: Any = own.classes
        first, *others = self.ensemble.checkpoints
        modules = {first: own}
        for name in others:
            checkpoint = Checkpoint.find(name, self.trust_checkpoint)
            modules[name] = load_voter(checkpoint, classes, trainer).to(trainer.strategy.root_device)
        (_, views), *votes = [
            (name, member.made_views()) for member in self.ensemble.members for name in member.checkpoints
        ]
        weight, *weights = self.weights
        voices = [(Voice(modules[name], views), weight) for (name, views), weight in zip(votes, weights, strict=True)]
        rule = self.ensemble.postprocessing(classes)
        # A head with one channel has a threshold of its own, but the ensemble was chosen by the likelier class.
        decides = rule or own.segmentor.out_channels == 1
        self._options = Options(views, voices, weight, decide=rule.masks if decides else None)

    def adapt(self, options: Options, stage: str) -> Options:
        """Add the views, the other checkpoints, all weights and the post-processing."""
        if stage == 'fit':
            return options
        own = self._options
        return replace(options, views=own.views, ensemble=own.ensemble, weight=own.weight, decide=own.decide)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Free the memory of the other checkpoints."""
        self._options = Options()
