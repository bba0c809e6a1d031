"""Choose ensembles on some folds, and evaluate them on others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from seglight.array_types import Float32Array
from seglight.competition.choosing.pixels import Candidate, sample_pixels
from seglight.competition.choosing.refining import Changes
from seglight.competition.choosing.selection import choose_members, choose_thresholds
from seglight.competition.out_of_fold.predictions import Held, OutOfFold, confusion
from seglight.errors import say
from seglight.models.inference.postprocessing import Postprocessing, with_thresholds
from seglight.report.evaluation import Counts, class_iou, mean_known

#: Maximum of images on which areas are chosen.
MAX_REFINED = 500


@dataclass(frozen=True)
class Choice:
    """An ensemble: the weight of each candidate, and the post-processing."""

    weights: dict[int, int]
    rule: Postprocessing = field(default_factory=Postprocessing)


class Variant(NamedTuple):
    """What an ensemble may consist of, and its confusions: on the images that it was chosen on, and nested."""

    name: str
    choice: Choice
    plain: Counts
    nested: Counts


class Chooser:
    """Chooses ensembles on the images of some folds, and evaluates them on those of others.

    Args:
        predictions: the out-of-fold predictions.
        candidates: the models with their views.
    """

    def __init__(self, predictions: OutOfFold, candidates: Sequence[Candidate]) -> None:
        self.predictions = predictions
        self.candidates = candidates
        self.plan = predictions.plan
        self._pixels = sample_pixels(predictions, candidates)

    def choose(self, folds: Sequence[int]) -> list[Choice]:
        """Return the best single candidate, the ensemble, and the ensemble with post-processing."""
        pixels = self._pixels.of(folds)
        single = int(np.argmax([pixels.miou(value) for value in pixels.values]))
        members = dict(Counter(choose_members(pixels)))
        total: Any = sum(np.float32(count) * pixels.values[index] for index, count in members.items())
        thresholds = choose_thresholds(pixels, np.asarray(total / (255 * sum(members.values())), dtype=np.float32))
        changes = Changes(len(self.plan.classes), self.plan.data['ignore_index'])
        images = self._images(folds)
        for held in images[:: -(-len(images) // MAX_REFINED)]:
            scores = with_thresholds(self._probabilities(held, members), thresholds)
            changes.add(held.mask.read(), scores)
        rule = Postprocessing(thresholds, changes.best('smallest'), changes.best('holes'))
        return [Choice({single: 1}), Choice(members), Choice(members, rule)]

    def confusions(self, choices: Sequence[Choice], folds: Sequence[int]) -> Counts:
        """Return the confusion of each choice on the images of some folds, int64 `[choices, C, C]`."""
        count = len(self.plan.classes)
        total = np.zeros((len(choices), count, count), dtype=np.int64)
        for held in self._images(folds):
            labels = held.mask.read()
            known: dict[tuple[tuple[int, int], ...], Float32Array] = {}
            for at, choice in enumerate(choices):
                key = tuple(choice.weights.items())
                if key not in known:
                    known[key] = self._probabilities(held, choice.weights)
                mask = choice.rule.mask(known[key])
                total[at] += confusion(labels, mask, count, self.plan.data['ignore_index'])
        return total

    def _images(self, folds: Sequence[int]) -> list[Held]:
        return [held for held in self.predictions.images if held.fold in folds]

    def _probabilities(self, held: Held, weights: dict[int, int]) -> Float32Array:
        """Return the weighted mean probabilities of an image, float32 `[C, H, W]`."""
        read = {index: self.predictions.probabilities(held, *self.candidates[index]) for index in weights}
        total: Any = sum(np.float32(weight) * read[index] for index, weight in weights.items())
        mean: Float32Array = total / np.float32(255 * sum(weights.values()))
        return mean


def make_variants(chooser: Chooser, folds: int) -> list[Variant]:
    """Return the variants with their plain and nested confusions; print what takes long."""
    everything = range(1, folds + 1)
    say('Choosing on all folds')
    choices = chooser.choose(everything)
    plain = chooser.confusions(choices, everything)
    nested = np.zeros_like(plain)
    for fold in everything:
        say(f'Choosing without fold {fold} of {folds}, to score on it')
        others = [other for other in everything if other != fold]
        nested += chooser.confusions(chooser.choose(others), [fold])
    names = ('best single model', 'ensemble', 'ensemble with post-processing')
    return [Variant(*each) for each in zip(names, choices, plain, nested, strict=True)]


def miou(confusion: Counts) -> float:
    """Return the mIoU of a confusion matrix."""
    return mean_known(class_iou(confusion))
