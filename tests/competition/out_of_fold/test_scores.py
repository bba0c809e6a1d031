"""Scores equal mmseg's on the joined masks."""

import csv
import io

import numpy as np
from mmseg.core.evaluation import mean_iou

from seglight.competition.out_of_fold.predictions import confusion
from seglight.competition.out_of_fold.scores import Scores

CLASSES = ['sky', 'road', 'never']


def test_the_scores_of_all_images_are_mmsegs_on_the_joined_masks() -> None:
    rng = np.random.default_rng(3)
    labels = [rng.choice(np.array([0, 1, 255], np.uint8), (9 + n, 7)) for n in range(4)]
    predicted = [rng.integers(0, 2, mask.shape).astype(np.uint8) for mask in labels]
    folds = np.zeros((2, 3, 3), np.int64)
    for number, (mask, prediction) in enumerate(zip(labels, predicted, strict=True)):
        folds[number % 2] += confusion(mask, prediction, 3, 255)
    scores = Scores(CLASSES, {'a': folds})
    rows = list(csv.DictReader(io.StringIO(scores.csv())))
    assert [row['fold'] for row in rows] == ['1', '2', 'all']
    for row, chosen in zip(rows, (slice(0, None, 2), slice(1, None, 2), slice(None)), strict=True):
        expected = mean_iou(predicted[chosen], labels[chosen], 3, 255)['IoU']
        np.testing.assert_allclose([float(row['sky']), float(row['road'])], expected[:2], atol=1e-6)
        assert row['never'] == ''
        np.testing.assert_allclose(float(row['mIoU']), np.nanmean(expected), atol=1e-6)


def test_the_table_has_a_column_for_each_model_and_the_range_of_its_folds() -> None:
    confusions = {
        'first': np.array([[[3, 1, 0], [0, 4, 0], [0, 0, 0]], [[4, 0, 0], [0, 4, 0], [0, 0, 0]]]),
        'second': np.array([[[0, 4, 0], [0, 4, 0], [0, 0, 0]], [[4, 0, 0], [4, 0, 0], [0, 0, 0]]]),
    }
    lines = [line.split() for line in Scores(CLASSES, confusions).table().splitlines()]
    assert lines == [
        ['first', 'second'],
        ['sky', '87.50', '33.33'],
        ['road', '88.89', '33.33'],
        ['never', '-', '-'],
        ['mIoU', '88.19', '33.33'],
        ['folds', '77.50', 'to', '100.00', '25.00', 'to', '25.00'],
    ]
