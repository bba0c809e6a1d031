"""How to predict: one value that callbacks compose and the module is given with each batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pytorch_lightning import Callback, Trainer

from seglight.models.inference.views import Views

if TYPE_CHECKING:
    from seglight.models.inference.module import PredictingModule


@dataclass(frozen=True)
class Options:
    """How to predict, and what to keep besides the masks.

    Attributes:
        views: ways to see each image (test-time augmentation), None for the image as it is.
        ensemble: other modules to vote with, each with the weight of its vote; they see the same views.
        weight: of the module's own vote.
        probabilities: whether to keep the class probabilities.
        confidence: whether to keep the probability of the predicted class of every `STRIDE`-th pixel.
    """

    views: Views | None = None
    ensemble: Sequence[tuple[PredictingModule, float]] = ()
    weight: float = 1.0
    probabilities: bool = False
    confidence: bool = False


#: Masks of the images as they are.
PLAIN = Options()


@runtime_checkable
class AdaptsPrediction(Protocol):
    """A callback that changes how the module predicts."""

    def adapt(self, options: Options, stage: str) -> Options:
        """Return the options with this callback's own; `stage` is the trainer's `fit`, `validate`, `test`, `predict`.

        The validation within a fit has the stage `fit`.
        """


def options_of(trainer: Trainer | None) -> Options:
    """Return what the callbacks of a trainer compose, in their order; `PLAIN` without a trainer."""
    options = PLAIN
    if trainer is None:
        return options
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # which it sets without a type
    for callback in callbacks:
        if isinstance(callback, AdaptsPrediction):
            options = callback.adapt(options, str(trainer.state.fn.value if trainer.state.fn else ''))
    return options
