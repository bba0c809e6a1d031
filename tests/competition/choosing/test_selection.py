"""The greedy choice of members and thresholds, where the right one is known."""

import itertools

import numpy as np
import pytest
from mmseg.core.evaluation import mean_iou

from seglight.competition.choosing.pixels import Pixels, highest_row
from seglight.competition.choosing.selection import choose_members, choose_thresholds


def made(seed: int = 0, count: int = 4000) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels, and three candidates: one good, one that is right where the first is unsure, one of noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count).astype(np.uint8)
    truth = np.eye(3)[labels].T
    unsure = rng.random(count) < 0.3
    first = np.where(unsure, 0.34 + 0.05 * rng.standard_normal((3, count)), 0.8 * truth + 0.1)
    second = np.where(unsure, 0.9 * truth + 0.05, 0.4 * rng.random((3, count)))
    third = rng.random((3, count))
    values = []
    for each in (first, second, third):
        clipped = np.clip(each, 0.01, 1)
        values.append(np.round(255 * clipped / clipped.sum(0)).astype(np.uint8))
    return labels, values


def pixels(folds: int = 2) -> Pixels:
    labels, values = made()
    return Pixels(labels, (np.arange(len(labels)) % folds + 1).astype(np.uint16), values)


def test_the_score_is_mmsegs() -> None:
    sample = pixels()
    expected = mean_iou([sample.values[1].argmax(0)], [sample.labels], 3, 255)['IoU'].mean()
    assert sample.miou(sample.values[1]) == pytest.approx(expected)
    assert (highest_row(sample.values[2]) == sample.values[2].argmax(0)).all()


def test_models_that_complete_each_other_are_chosen_and_noise_is_not() -> None:
    sample = pixels()
    chosen = choose_members(sample)
    assert set(chosen) == {0, 1}
    score = sample.miou(np.sum([sample.values[index].astype(np.uint16) for index in chosen], axis=0))
    # as good as the best of all pairs of weights, which greedy steps need not find but do here
    grid = (
        sample.miou(a * sample.values[0].astype(float) + b * sample.values[1])
        for a, b in itertools.product(range(1, 5), repeat=2)
    )
    assert score >= max(grid) - 0.005


def test_one_candidate_is_chosen_once() -> None:
    sample = pixels()
    assert choose_members(Pixels(sample.labels, sample.folds, sample.values[:1])) == [0]


def test_the_pixels_of_some_folds() -> None:
    sample = pixels(folds=3)
    part = sample.of([1, 3])
    kept = np.isin(sample.folds, [1, 3])
    assert (part.labels == sample.labels[kept]).all()
    assert (part.values[2] == sample.values[2][:, kept]).all()


def test_a_class_that_is_predicted_too_often_gets_a_threshold() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 5000).astype(np.uint8)
    # class 0 is right only from 0.7 on
    own = np.where(labels == 0, rng.uniform(0.7, 1.0, 5000), rng.uniform(0.3, 0.7, 5000)).astype(np.float32)
    sample = Pixels(labels, np.ones(5000, np.uint16), [])
    probabilities = np.stack([own, 1 - own])
    assert sample.miou(probabilities) < 0.8
    chosen = choose_thresholds(sample, probabilities)
    assert chosen == {0: 0.7}
    perfect = np.eye(2, dtype=np.float32)[labels].T
    assert choose_thresholds(sample, perfect) == {}
