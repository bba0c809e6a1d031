"""What a report suggests: each rule on measurements made for it, with figures computed by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report.test_evaluation import make_evaluation

from seglight.report.evaluation import BINS, Evaluation, Example
from seglight.report.findings import find
from seglight.report.run import Curve, Run

#: Right: 90 of 100 pixels each; nothing to remark.
SOUND = [[90, 5, 5], [5, 90, 5], [5, 5, 90]]


def measured(confusion: Any = SOUND, train: Any = (100, 100, 100), **values: Any) -> Evaluation:
    """An evaluation of the classes road, tree and sign, without anything to remark unless the arguments have it."""
    counts = np.asarray(confusion, dtype=np.int64)
    plain: dict[str, Any] = {
        'classes': ['road', 'tree', 'sign'],
        'palette': [[0, 0, 0]] * 3,
        'names': list('abcd'),
        'image_iou': np.array([0.8, 0.8, 0.8, 0.8]),
        'bin_counts': np.zeros(BINS, dtype=np.int64),
        'bin_confidence': np.zeros(BINS),
        'bin_hits': np.zeros(BINS, dtype=np.int64),
        'best': [],
        'worst': [],
    }
    return replace(make_evaluation(3), confusion=counts, train_pixels=np.array(train), **(plain | values))


def facts(found: Evaluation, curves: dict[str, Curve] | None = None, config: dict[str, Any] | None = None) -> list[str]:
    return [finding.fact for finding in find(Run(Path(), curves or {}, config or {}, {}, found), found)]


def test_a_sound_run_has_no_findings() -> None:
    assert facts(measured()) == []


def test_a_rare_class_below_the_mean_is_named_with_its_share() -> None:
    rare = measured([[90, 5, 5], [5, 90, 5], [6, 6, 8]], train=(5000, 4980, 20))
    mean = 100 * (90 / 111 + 90 / 111 + 8 / 30) / 3
    iou = f'sign (0.2 % of the pixels, IoU {100 * 8 / 30:.2f} %)'
    assert facts(rare)[0] == f'Rare in training, and below the mean IoU of {mean:.2f} %: {iou}.'


@pytest.mark.parametrize(
    ('config', 'advice'),
    [
        ({}, 'Try higher weights in the loss (class_weight: balanced in loss_decode) or more frequent images'),
        ({'model': {'class_weight': 'balanced'}}, 'Try more frequent images'),
        ({'data': {'class_balance': 0.1}, 'model': {'class_weight': [1, 2]}}, 'Weights and sampling already favour'),
        (
            {'data': {'class_balance': None}},
            'Try higher weights in the loss (class_weight: balanced in loss_decode) or',
        ),
    ],
)
def test_what_a_config_already_does_is_not_advised(config: dict[str, Any], advice: str) -> None:
    rare = measured([[90, 5, 5], [5, 90, 5], [6, 6, 8]], train=(5000, 4980, 20))
    assert find(Run(Path(), {}, config, {}, rare), rare)[0].advice.startswith(advice)


def test_confused_classes_are_named_the_worst_pair_first() -> None:
    found = measured([[60, 15, 25], [0, 100, 0], [12, 0, 88]])
    assert (
        'Most often confused: road as sign, 25.0 % of its pixels; road as tree, 15.0 % of its pixels; '
        'sign as road, 12.0 % of its pixels.'
    ) in facts(found)


def test_classes_that_were_never_seen_or_predicted_are_named() -> None:
    assert facts(measured(train=(100, 100, 0))) == [
        'sign: 0 pixels in the first epoch of training, but some in validation.'
    ]
    assert facts(measured([[95, 5, 0], [5, 95, 0], [0, 0, 0]])) == [
        'sign: 0 labelled pixels in validation, so nothing is known about these classes.'
    ]
    missed = facts(measured([[100, 0, 0], [0, 100, 0], [5, 5, 0]], train=(100, 90, 10)))
    assert 'Never predicted, with the share of the training pixels: sign (5 %).' in missed


def test_a_class_on_too_many_pixels_is_named() -> None:
    found = measured([[900, 0, 60], [0, 960, 0], [4, 0, 36]], train=(960, 960, 40))
    assert 'Predicted too often: sign (2.4 times its labelled pixels).' in facts(found)


def test_other_shares_in_training_and_validation_are_named() -> None:
    found = measured([[190, 0, 0], [0, 190, 0], [0, 0, 20]], train=(245, 245, 10))
    assert facts(found) == []  # 2 % and 5 %
    found = measured([[160, 0, 0], [0, 160, 0], [0, 0, 80]], train=(245, 245, 10))
    assert facts(found) == ['Not as frequent in training as in validation: sign (2 % and 20 %) of the pixels.']
    assert facts(found, config={'data': {'class_balance': 0.1}}) == []


def test_images_far_below_the_others_are_named() -> None:
    pixels = np.zeros((2, 2), dtype=np.uint8)
    worst = [Example('c.jpg', 'c', 0.2, pixels, pixels)]
    found = measured(image_iou=np.array([0.8, 0.7, 0.2, np.nan, 0.9]), names=list('abcde'), worst=worst)
    assert facts(found) == ['1 of 4 images has less than half of the median mIoU, 75.00 %; the worst: c (20.00 %).']


def test_overfitting_is_seen_in_the_losses() -> None:
    steps = range(10, 90, 10)
    training = [(step, 1 - step / 100) for step in steps]
    rising = list(zip(steps, (1.0, 0.8, 0.7, 0.72, 0.75, 0.8, 0.85, 0.9), strict=True))
    (fact,) = facts(measured(), {'val/loss': rising, 'train/loss': training})
    assert fact.startswith('Overfitting: after step 30 the validation loss rose from 0.7 to 0.9, while the training')
    assert fact.endswith('fell from 0.8 to 0.35.')  # means of steps 10 to 30, and of 50 to 80
    falling = [(step, value) for step, (_, value) in zip(steps, reversed(rising), strict=True)]
    assert facts(measured(), {'val/loss': falling[:6], 'train/loss': training}) == []
    assert facts(measured(), {'val/loss': rising, 'train/loss': [(step, 1.0) for step in steps]}) == []
    assert facts(measured(), {'val/mIoU': [(1, 0.5), (2, 0.6), (3, 0.59), (4, 0.55)]}) == [
        'The mIoU fell from 60.00 % at step 2 to 55.00 % at the end.'
    ]


def test_a_run_that_ended_early_is_seen_in_its_mean_iou() -> None:
    curve = [(1, 0.3), (2, 0.4), (3, 0.5), (4, 0.6), (5, 0.62), (6, 0.64)]
    assert facts(measured(), {'val/mIoU': curve}) == [
        'The mIoU still rose at the end: from 60.00 % at step 4 to 64.00 %.'
    ]
    assert facts(measured(), {'val/mIoU': [*curve[:4], (5, 0.6), (6, 0.6)]}) == []


def test_a_confidence_above_the_accuracy_is_told() -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[-1] = 200
    found = measured(bin_counts=counts, bin_confidence=counts * 0.98, bin_hits=counts * 4 // 5)
    assert facts(found) == ['Overconfident: the mean confidence is 98.00 %, the accuracy 80.00 %.']
    assert facts(replace(found, bin_hits=counts * 19 // 20)) == []
