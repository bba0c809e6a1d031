"""The text alternatives of plots: what they say, computed by hand."""

import numpy as np
from report.test_findings import measured

from seglight.report import alternatives
from seglight.report.evaluation import BINS


def test_a_curve_has_its_ends_and_extremes() -> None:
    loss = [(10, 2.0), (20, 0.5), (30, 3.0), (40, 1.0)]
    found = alternatives.of_curves({'loss': loss}, 'loss')
    assert found.summary == 'loss over steps: loss from 2 to 1'
    assert found.rows == [['loss', '2 at step 10', '0.5 at step 20', '3 at step 30', '1 at step 40']]
    assert alternatives.of_curves({'mIoU': [(1, 0.25)]}, '%', True).summary == 'mIoU from 25.00 % to 25.00 %'


def test_a_search_has_its_bars_and_points() -> None:
    bars = alternatives.of_bars({'model.lr': 0.75, 'data.batch_size': 0.25}, 'importance')
    assert bars.summary == 'from 0.25 for data.batch_size to 0.75 for model.lr'
    assert (bars.head, bars.rows) == (['key', 'importance'], [['model.lr', '0.75'], ['data.batch_size', '0.25']])
    points = alternatives.of_points([(0.1, 0.5, True), (0.01, 0.25, False)], 'lr', 'mIoU')
    assert points.summary == 'mIoU over lr: the highest is 0.5 at 0.1'
    assert (points.head, points.rows) == (['lr', 'mIoU'], [['0.01', '0.25'], ['0.1', '0.5']])
    epochs = alternatives.of_curves({'trial1': [(1, 0.25), (2, 0.5)]}, 'mIoU', axis='epoch')
    assert epochs.summary == 'mIoU over epochs: trial1 from 0.25 to 0.5'
    assert epochs.rows == [['trial1', '0.25 at epoch 1', '0.25 at epoch 1', '0.5 at epoch 2', '0.5 at epoch 2']]


def test_classes_have_a_row_each_and_the_extremes_are_named() -> None:
    iou = {'exp1': np.array([0.5, np.nan, 0.25]), 'exp2': np.array([np.nan] * 3)}
    found = alternatives.of_classes(['road', 'tree', 'sign'], iou)
    assert found.head == ['class', 'IoU of exp1', 'IoU of exp2']
    assert found.rows[:2] == [['road', '50.00 %', 'absent'], ['tree', 'absent', 'absent']]
    ends = 'exp1 from 25.00 % for sign to 50.00 % for road'
    assert found.summary == f'{ends}; exp2 without a class that occurs'
    change = alternatives.of_difference(['road', 'tree', 'sign'], np.array([0.1, -0.2, np.nan]))
    assert change.summary == '1 class gained, 1 lost'
    assert change.rows == [['road', '+10.00'], ['tree', '-20.00'], ['sign', 'absent']]


def test_a_confusion_names_what_is_predicted_instead() -> None:
    found = alternatives.of_confusion(measured([[60, 15, 25], [0, 100, 0], [0, 0, 0]]))
    assert found.summary == 'the largest confusion is 25.0 % of road predicted as sign'
    assert found.rows == [
        ['road', '60.0 %', 'sign 25.0 %, tree 15.0 %'],
        ['tree', '100.0 %', 'none'],
        ['sign', 'absent', 'none'],
    ]


def test_frequencies_are_shares_and_what_was_not_counted_has_no_column() -> None:
    found = alternatives.of_frequency(measured([[60, 0, 0], [0, 30, 0], [5, 0, 5]], train=(0, 0, 0)))
    assert found.head == ['class', 'validation', 'predicted']
    assert found.rows == [['road', '60 %', '65 %'], ['tree', '30 %', '30 %'], ['sign', '10 %', '5 %']]
    assert found.summary.endswith(': road 60 %, sign 10 %')


def test_a_calibration_has_a_row_for_each_bin_with_pixels() -> None:
    counts = np.zeros(BINS, dtype=np.int64)
    counts[0], counts[14] = 50, 150
    found = alternatives.of_calibration(
        measured(bin_counts=counts, bin_confidence=np.where(counts == 50, 2.0, counts * 0.98), bin_hits=counts // 5 * 4)
    )
    assert found.summary == 'mean confidence 74.5 %, accuracy 80.0 %'  # (2 + 147) / 200
    assert found.rows == [['0 to 7 %', '4.0 %', '80.0 %', '25.0 %'], ['93 to 100 %', '98.0 %', '80.0 %', '75.0 %']]
