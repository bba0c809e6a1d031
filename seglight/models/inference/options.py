"""Options for prediction: callbacks compose them, and the module receives them with each batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from pytorch_lightning import Trainer
from torch import Tensor

from seglight.array_types import Size
from seglight.models.inference.views import Views
from seglight.trainer_callbacks import callbacks_of


class Voter(Protocol):
    """A module that can vote in an ensemble: a `PredictingModule`."""

    def probabilities(self, image: Tensor, original_size: Size, options: Options) -> Tensor:
        """Return the class probabilities of images of one size."""


@dataclass(frozen=True)
class Options:
    """How to predict, and what to keep besides the masks.

    Attributes:
        views: views of each image (test-time augmentation), None for the image as it is.
        ensemble: other modules that vote, each with its weight; they use the same views.
        weight: weight of the module's own vote.
        probabilities: whether to keep the class probabilities.
        confidence: whether to keep the probability of the predicted class of every `STRIDE`-th pixel.
        decide: maps probabilities, float `[B, C, H, W]`, to masks, uint8 `[B, H, W]`; None for the most probable class.
    """

    views: Views | None = None
    ensemble: Sequence[tuple[Voter, float]] = ()
    weight: float = 1.0
    probabilities: bool = False
    confidence: bool = False
    decide: Callable[[Tensor], Tensor] | None = None


#: Only masks, without views or an ensemble.
PLAIN = Options()


@runtime_checkable
class AdaptsPrediction(Protocol):
    """A callback that changes how the module predicts."""

    def adapt(self, options: Options, stage: str) -> Options:
        """Return the options with this callback's changes; `stage` is `fit`, `validate`, `test` or `predict`.

        Validation during a fit has the stage `fit`.
        """


def options_of(trainer: Trainer | None) -> Options:
    """Return the options that a trainer's callbacks compose, in their order; `PLAIN` without a trainer."""
    options = PLAIN
    if trainer is None:
        return options
    for callback in callbacks_of(trainer):
        if isinstance(callback, AdaptsPrediction):
            options = callback.adapt(options, str(trainer.state.fn.value if trainer.state.fn else ''))
    return options
