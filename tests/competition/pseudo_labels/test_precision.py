"""The confidence of each class is the lowest with the precision, found here by trying each."""

from typing import Any

import numpy as np
import pytest

from seglight.competition.choosing.pixels import Pixels
from seglight.competition.pseudo_labels.precision import choose_confidence, count_precise, kept_pixels


def made(count: int = 6000, seed: int = 0) -> Pixels:
    """Two candidates that are right more often the surer they are; of class 2 they are seldom right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count).astype(np.uint8)
    labels[labels == 3] = np.where(rng.random((labels == 3).sum()) < 0.01, 3, 0)  # too rare to know its precision
    wrong = labels == 2
    values = []
    for _ in range(2):
        scores = 2.0 * np.eye(4)[np.where(wrong, rng.integers(0, 3, count), labels)].T + rng.standard_normal((4, count))
        shares = np.exp(2 * scores)
        values.append(np.round(255 * shares / shares.sum(0)).astype(np.uint8))
    return Pixels(labels, np.ones(count, np.uint16), values)


@pytest.mark.parametrize('members', [{0: 1}, {0: 2, 1: 1}])
@pytest.mark.parametrize('precision', [0.6, 0.9])
def test_it_is_the_lowest_with_the_precision(members: dict[int, int], precision: float) -> None:
    pixels = made()
    weight = sum(members.values())
    total: Any = sum(count * pixels.values[index].astype(float) for index, count in members.items())
    mean = total / (255 * weight)
    predicted, winner = mean.argmax(0), mean.max(0)
    expected = {}
    for label in range(4):
        for level in range(256):
            chosen = (predicted == label) & (winner >= (level - 0.5) / 255 - 1e-9)
            if chosen.sum() >= 100 and (pixels.labels[chosen] == label).mean() >= precision:
                expected[label] = max(0.0, (level - 0.5) / 255)
                break
    found = choose_confidence(count_precise(pixels, members), precision)
    assert found == pytest.approx(expected)
    assert 0 in found
    assert 3 not in found
    kept = np.isin(predicted, list(found)) & (winner >= np.array([found.get(label, 2) for label in predicted]) - 1e-9)
    share, right = kept_pixels(count_precise(pixels, members), found)
    assert share == pytest.approx(kept.mean())
    assert right == pytest.approx((pixels.labels[kept] == predicted[kept]).mean())


def test_a_class_that_is_never_precise_has_none() -> None:
    pixels = made()
    counts = count_precise(pixels, {0: 1})
    assert choose_confidence(counts, 1.01) == {}
    assert kept_pixels(counts, {})[0] == 0
    assert np.isnan(kept_pixels(counts, {})[1])


def test_what_is_certain_stays_certain_after_rounding() -> None:
    labels = np.repeat(np.array([0, 1], np.uint8), 200)
    values = np.zeros((2, 400), np.uint8)
    values[0, :150] = values[1, 200:] = 255
    values[1, 150:200] = 254  # sure, but wrong
    values[0, 150:200] = 1
    found = choose_confidence(count_precise(Pixels(labels, np.ones(400, np.uint16), [values]), {0: 1}), 1.0)
    assert found == pytest.approx({0: 0.0, 1: 254.5 / 255})  # which a probability of 0.999 reaches
