"""The nested score is what a choice on other folds would have had."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmseg.core.evaluation import mean_iou
from scipy import ndimage

from seglight.array_types import UInt8Array
from seglight.competition.choosing.chooser import Chooser, make_variants, miou
from seglight.competition.choosing.pixels import Candidate
from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.out_of_fold.predictions import PLAIN, Held, OutOfFold
from seglight.data.sources.base import Annotation

FOLDS, MODELS = 3, ('first', 'second', 'third')


@dataclass(frozen=True)
class Drawn(Annotation):
    """Labels in memory."""

    number: int

    def read(self) -> UInt8Array:
        rng = np.random.default_rng(self.number)
        fields = np.stack([ndimage.gaussian_filter(rng.standard_normal((24, 30)), 4) for _ in range(3)])
        labels: UInt8Array = fields.argmax(0).astype(np.uint8)
        labels[0] = 255
        return labels

    def size(self) -> tuple[int, int]:
        return 24, 30

    @property
    def path(self) -> Path:
        return Path(str(self.number))


class Predictions(OutOfFold):
    """Predictions that are the truth with noise, which differs between models."""

    @cached_property
    def images(self) -> list[Held]:
        return [Held(Path(str(n)), n % FOLDS + 1, str(n), Drawn(n)) for n in range(9)]

    def probabilities(self, held: Held, model: str, views: str = PLAIN) -> UInt8Array:
        rng = np.random.default_rng((int(held.name), MODELS.index(model)))
        truth = np.eye(3)[held.mask.read().clip(0, 2)].transpose(2, 0, 1)
        scores = np.exp(1.5 * truth + 1.2 * rng.standard_normal((3, 24, 30)))
        shares: UInt8Array = np.round(255 * scores / scores.sum(0)).astype(np.uint8)
        return shares


@pytest.fixture(scope='module')
def chooser() -> Chooser:
    plan = Plan(FOLDS, None, {'first': {'data': {'classes': ['a', 'b', 'c'], 'ignore_index': 255}}})
    return Chooser(Predictions(Path(), plan), [Candidate(model, PLAIN) for model in MODELS])


def test_the_scores_are_those_of_masks_that_are_made_by_hand(chooser: Chooser) -> None:
    variants = make_variants(chooser, FOLDS)
    images = chooser.predictions.images
    labels = [held.mask.read() for held in images]
    for at, variant in enumerate(variants):
        for found, is_nested in ((variant.plain, False), (variant.nested, True)):
            masks = []
            for held in images:
                choice = chooser.choose([fold for fold in (1, 2, 3) if not (is_nested and fold == held.fold)])[at]
                votes: Any = sum(
                    weight * chooser.predictions.probabilities(held, MODELS[index]).astype(np.float32)
                    for index, weight in choice.weights.items()
                )
                mean = np.asarray(votes / (255 * sum(choice.weights.values())), dtype=np.float32)
                masks.append(choice.rule.mask(mean))
            expected = np.nanmean(mean_iou(masks, labels, 3, 255)['IoU'])
            assert miou(found) == pytest.approx(expected, abs=2e-3)


def test_models_with_noise_of_their_own_are_better_together(chooser: Chooser) -> None:
    single, ensemble, refined = make_variants(chooser, FOLDS)
    assert sum(single.choice.weights.values()) == 1
    assert len(ensemble.choice.weights) == 3
    assert miou(ensemble.nested) > miou(single.nested) + 0.02
    assert refined.choice.rule.smallest_areas  # specks of noise are not regions
    assert miou(refined.nested) > miou(ensemble.nested) + 0.02
