"""Scores and regions of labels, compared with loops, SciPy's softmax and SciPy's regions."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.special import softmax

from seglight.competition.label_quality.suspects import Confidence, softmin, suspect_pixels, suspect_regions


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels with an ignored row, and probabilities of three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (20, 30)).astype(np.uint8)
    labels[0] = 255
    return labels, softmax(rng.standard_normal((3, 20, 30)), 0)


def test_the_score_is_the_inner_product_of_the_paper() -> None:
    scores = np.random.default_rng(1).random(500)
    assert softmin(scores) == pytest.approx(np.dot(scores, softmax((1 - scores) / 0.1)))
    assert np.isnan(softmin(scores[:0]))


def test_thresholds_are_the_mean_probabilities_of_the_labels() -> None:
    confidence = Confidence(4, 255)  # the last class never occurs
    images = [drawn(seed) for seed in range(3)]
    for labels, probabilities in images:
        padded = np.concatenate([probabilities, np.zeros_like(probabilities[:1])])
        assert confidence.add(labels, padded) == pytest.approx(
            softmin(np.array([probabilities[label][at] for at, label in np.ndenumerate(labels) if label != 255]))
        )
    found = confidence.thresholds()
    for label in range(3):
        values = np.concatenate([probabilities[label][labels == label] for labels, probabilities in images])
        assert found[label] == pytest.approx(values.mean())
    assert found[3] == np.inf


def test_suspect_places_are_wide_and_sure() -> None:
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[0] = 255
    probabilities = np.zeros((2, 20, 30))
    probabilities[0] = 0.9
    for rows, columns, sure in [
        (slice(0, 6), slice(0, 5), 0.95),  # one row of it is ignored
        (slice(8, 14), slice(2, 4), 0.95),  # narrow
        (slice(8, 14), slice(10, 15), 0.7),  # unsure
        (slice(16, 20), slice(20, 30), 0.8),
    ]:
        probabilities[1, rows, columns] = sure
    probabilities[0] = 1 - probabilities[1]
    suspect = suspect_pixels(labels, probabilities, np.array([0.5, 0.75]), 255)
    expected = np.zeros((20, 30), dtype=bool)
    expected[1:6, :5] = expected[16:, 20:] = True
    assert (suspect == expected).all()
    first, second = suspect_regions(labels, probabilities, suspect)
    assert (first.given, first.predicted, first.pixels, first.box) == (0, 1, 25, (0, 1, 5, 5))
    assert first.weight == pytest.approx(25 * 0.9)
    assert (second.pixels, second.box) == (40, (20, 16, 10, 4))
    assert second.weight == pytest.approx(40 * 0.6)


def test_regions_are_those_of_scipy_for_each_pair_of_classes() -> None:
    labels, _ = drawn()
    rng = np.random.default_rng(3)
    labels = np.kron(labels[:5, :6], np.ones((8, 8), dtype=np.uint8))
    fields = np.stack([ndimage.gaussian_filter(rng.standard_normal(labels.shape), 3) for _ in range(3)])
    probabilities = softmax(30 * fields, 0)
    suspect = suspect_pixels(labels, probabilities, np.zeros(3), 255)
    found = sorted(
        (each.given, each.predicted, each.pixels) for each in suspect_regions(labels, probabilities, suspect)
    )
    predicted = probabilities.argmax(0)
    expected = []
    for given in range(3):
        for other in range(3):
            numbered, count = ndimage.label(suspect & (labels == given) & (predicted == other), np.ones((3, 3)))
            sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
            expected += [(given, other, int(size)) for size in sizes if size >= 16]
    assert len(expected) > 5
    assert found == sorted(expected)
