"""What labels the test images for a fold does not depend on the labels of that fold."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seglight.array_types import UInt8Array
from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.out_of_fold.predictions import PLAIN, Held, OutOfFold
from seglight.competition.pseudo_labels.rounds import Rounds, choose_round, make_rounds, training_flags
from seglight.data.sources.base import Annotation
from seglight.errors import UsageError

MODELS, CLASSES, FOLDS = ('first', 'second'), ('a', 'b', 'c'), 3


def truth(number: int) -> UInt8Array:
    return np.random.default_rng(number).integers(0, 3, (40, 50)).astype(np.uint8)


@dataclass(frozen=True)
class Labels(Annotation):
    """Labels in memory, which may be wrong everywhere."""

    number: int
    wrong: bool

    def read(self) -> UInt8Array:
        return (truth(self.number) + self.wrong) % 3

    def size(self) -> tuple[int, int]:
        return 40, 50

    @property
    def path(self) -> Path:
        return Path(str(self.number))


class Predictions(OutOfFold):
    """Predictions that are often right where they are sure, of images of which one fold may have wrong labels."""

    wrong = 0

    @cached_property
    def images(self) -> list[Held]:
        return [Held(Path(str(n)), n % 3 + 1, str(n), Labels(n, n % 3 + 1 == self.wrong)) for n in range(9)]

    def probabilities(self, held: Held, model: str, views: str = PLAIN) -> UInt8Array:
        rng = np.random.default_rng((int(held.name), MODELS.index(model)))
        scores = np.exp(3 * np.eye(3)[truth(int(held.name))].transpose(2, 0, 1) + 2 * rng.standard_normal((3, 40, 50)))
        shares: UInt8Array = np.round(255 * scores / scores.sum(0)).astype(np.uint8)
        return shares


@pytest.fixture
def predictions() -> Predictions:
    data: dict[str, Any] = {'classes': list(CLASSES), 'ignore_index': 255, 'train': ['train', {'type': 'x'}]}
    return Predictions(Path(), Plan(FOLDS, None, {model: {'data': data} for model in MODELS}))


@pytest.mark.parametrize('fold', [1, 3])
def test_a_fold_does_not_choose_its_own_labels(predictions: Predictions, fold: int) -> None:
    good, _ = choose_round(predictions, Rounds(2, 0.9))
    changed = Predictions(Path(), predictions.plan)
    changed.wrong = fold
    found, lines = choose_round(changed, Rounds(2, 0.48))  # of the other folds, half of the labels are wrong
    low, _ = choose_round(predictions, Rounds(2, 0.48))
    assert found.folds[fold - 1] == low.folds[fold - 1]
    assert all(found.folds[other] != low.folds[other] for other in range(3) if other != fold - 1)
    assert set(good.folds[0].members) == set(MODELS)  # noise of their own
    assert lines[fold - 1].startswith(f'fold {fold}: would keep ')
    share = float(lines[fold - 1].split()[-5])
    assert share < 30  # its labels are wrong everywhere


def test_what_would_be_kept_of_a_fold_is_about_as_right_as_asked_for(predictions: Predictions) -> None:
    _, lines = choose_round(predictions, Rounds(2, 0.95))
    assert len(lines) == FOLDS
    for line in lines:
        assert float(line.split()[-5]) == pytest.approx(95, abs=2.5)


def test_a_precision_that_no_class_has_ends_the_round(predictions: Predictions) -> None:
    predictions.wrong = 2
    with pytest.raises(
        UsageError, match=r'^no class has 100 pixels with a precision of 0.99 without fold 1, the highe'
    ):
        choose_round(predictions, Rounds(2, 0.99))


def test_pseudo_labels_are_added_to_the_data_that_there_was(predictions: Predictions) -> None:
    (flag,) = training_flags(Path('folds1/round2'), predictions.plan, Rounds(2, weight=0.5), 'first', 2)
    folder = Path('folds1/round2/pseudo/fold2/pseudo_labels').resolve()
    assert flag.startswith('--data.train=[train, ')
    assert yaml.safe_load(flag.removeprefix('--data.train=')) == [
        'train',
        {'type': 'x'},
        {
            'type': 'FolderSource',
            'img_dir': f'{folder}/img_dir',
            'ann_dir': f'{folder}/ann_dir',
            'reduce_zero_label': False,
            'repeat': 0.5,
            'only_train': True,
        },
    ]


def test_options_that_need_rounds() -> None:
    assert make_rounds(1, None, None) == Rounds(1, 0.95, 1.0)
    assert make_rounds(3, 0.5, 2) == Rounds(3, 0.5, 2.0)
    with pytest.raises(UsageError, match='--pseudo-weight is for pseudo labels: add --rounds 2, or remove it'):
        make_rounds(1, None, 1.0)
    with pytest.raises(UsageError, match='--precision must be above 0 and at most 1, got nan'):
        make_rounds(2, float('nan'), None)
