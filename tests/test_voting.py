"""Weights of inputs that vote: a wrong one must not turn into a wrong result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.callbacks import ChosenEnsemble, SoftVoting
from seglight.callbacks.writers.pseudo import PseudoLabelWriter
from seglight.checkpoints.ensemble import Ensemble, Member
from seglight.errors import DataError, UsageError
from seglight.tools.soup import make_soup
from seglight.tools.vote import take_vote
from seglight.voting import vote_weights

WRONG = [
    [1.0],
    [1.0, 2.0, 3.0],
    [1.0, 0.0],
    [1.0, -1.0],
    [1.0, float('nan')],
    [float('nan'), 1.0],
    [1.0, float('inf')],
    [1.0, 10**309],
]


def test_weights_are_equal_by_default_and_otherwise_as_given() -> None:
    assert vote_weights(None, 3) == [1, 1, 1]
    assert vote_weights([0.5, 2], 2) == [0.5, 2]


@pytest.mark.parametrize('weights', [[3e38, 1e38], [1.5e308, 0.5e308], [3e-320, 1e-320]])
def test_the_sums_of_huge_and_tiny_weights_neither_overflow_nor_vanish(weights: list[float]) -> None:
    used = vote_weights(weights, 2)
    assert used
    single = np.array(used, dtype=np.float32)  # as they multiply probabilities
    assert np.isfinite(single.sum())
    np.testing.assert_allclose(single / single.sum(), [0.75, 0.25], rtol=1e-3)


@pytest.mark.parametrize('scale', [1e39, 1e307, 1e-50])
def test_huge_and_tiny_weights_of_a_file_neither_overflow_nor_vanish(scale: float) -> None:
    members = [Member(['a.ckpt'], 3 * scale), Member(['b.ckpt', 'c.ckpt'], 2 * scale)]
    single = np.array(ChosenEnsemble(Ensemble(members)).weights, dtype=np.float32)
    np.testing.assert_allclose(single / single.sum(), [0.6, 0.2, 0.2], rtol=1e-5)


@pytest.mark.parametrize('weight', [0.0, -1.0, float('inf'), float('nan')])
def test_an_ensemble_rejects_other_weights(weight: float) -> None:
    with pytest.raises(UsageError, match='the weights of an ensemble must be above 0 for each of its 2'):
        ChosenEnsemble(Ensemble([Member(['a.ckpt'], 1.0), Member(['b.ckpt'], weight)]))


@pytest.mark.parametrize('weights', WRONG)
def test_other_weights_are_rejected_by_all_that_vote(weights: list[float], tmp_path: Path) -> None:
    assert vote_weights(weights, 2) is None
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        Image.new('L', (2, 2)).save(tmp_path / name / 'x.png')
        (tmp_path / f'{name}.ckpt').touch()
    with pytest.raises(UsageError, match='--ckpt-weights must be a positive number for each of the 2'):
        SoftVoting(['b.ckpt'], weights)
    with pytest.raises(UsageError, match='--weights must be a positive number for each of the 2'):
        take_vote([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out', weights)
    with pytest.raises(UsageError, match='either no --weights or a positive one for each'):
        make_soup([tmp_path / 'a.ckpt', tmp_path / 'b.ckpt'], tmp_path / 'soup.ckpt', weights)
    assert not (tmp_path / 'out').exists()
    assert not (tmp_path / 'soup.ckpt').exists()


@pytest.mark.parametrize('weights', [None, []])
def test_nothing_is_not_voted_on(weights: list[float] | None, tmp_path: Path) -> None:
    assert vote_weights(weights, 0) is None
    with pytest.raises(UsageError, match='vote: give one or more inputs, CSV files or folders of masks'):
        take_vote([], tmp_path / 'out', weights)
    with pytest.raises(UsageError, match='soup: give two or more checkpoints'):
        make_soup([], tmp_path / 'soup.ckpt', weights)


@pytest.mark.parametrize('weight', [0, -1, float('nan'), float('inf'), 1001])
def test_a_weight_of_pseudo_labels_is_one_that_a_source_accepts(weight: float) -> None:
    with pytest.raises(UsageError, match='--pseudo-weight must be above 0 and at most 1000, got'):
        PseudoLabelWriter('folder', 0.5, weight)


def test_labels_above_255_are_not_voted_on_as_others(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((3, 4), 258, np.uint16)).save(tmp_path / name / 'x.png')
    with pytest.raises(DataError, match=r'x\.png has the label 258; labels must be 0 to 255'):
        take_vote([tmp_path / 'a', tmp_path / 'b'], tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
