"""How good, which classes fail, and on which images: the start of a report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from report.test_evaluation import make_evaluation
from report.test_findings import measured

from seglight.report.evaluation import Example
from seglight.report.opening import failing_classes, hardest_images, verdict, wrong_share
from seglight.report.run import Run


def test_the_verdict_has_the_figures() -> None:
    found = measured([[90, 10, 0], [0, 100, 0], [60, 0, 40]])  # IoU 90/160, 100/110, 40/100
    start = '76.67 % of the pixels are right, and the mean IoU of 3 classes is 62.39 %; 1 of them is below 50 %.'
    assert verdict(found, None) == start
    better = measured([[100, 0, 0], [0, 100, 0], [0, 0, 100]])
    before = Run(Path('work_dirs/exp7'), {}, {}, {}, better)
    assert verdict(found, before) == f'{start} The mean IoU is 37.61 points below exp7.'
    assert 'nothing can be said' in verdict(replace(found, confusion=np.zeros((3, 3), dtype=np.int64)), None)


def test_classes_that_fail_have_what_they_are_taken_for() -> None:
    table = failing_classes(measured([[90, 10, 0], [0, 100, 0], [60, 0, 40]], train=(500, 480, 20)))
    assert table
    head, rows = table
    assert head == ['class', 'IoU', 'found', 'precision', 'most often taken for', 'training pixels']
    assert rows == [
        ['sign', '40.0 %', '40.0 %', '100.0 %', 'road, 60.0 %', '2 %'],
        ['road', '56.2 %', '90.0 %', '60.0 %', 'tree, 10.0 %', '50 %'],
    ]
    never = failing_classes(measured([[100, 0, 0], [0, 100, 0], [10, 0, 0]], train=(0, 0, 0)))
    assert never
    assert never[1] == [['sign', '0.0 %', '0.0 %', 'never predicted', 'road, 100.0 %']]
    assert failing_classes(measured([[1, 0, 0], [0, 1, 0], [0, 0, 1]])) is None


def test_hard_images_link_to_their_pictures() -> None:
    mask = np.array([[0, 1, 2, 255]], dtype=np.uint8)
    example = Example('a.jpg', 'a', 0.25, mask, np.array([[0, 2, 1, 1]], dtype=np.uint8))
    found = replace(make_evaluation(3), worst=[example, replace(example, name='b')])
    assert wrong_share(example, found) == 2 / 3  # the ignored pixel does not count
    assert np.isnan(wrong_share(replace(example, mask=np.full_like(mask, 255)), found))
    first, second = hardest_images(found, {'worst-2'})
    assert first == ('a', '25.0 %', '66.7 %', '')
    assert second == ('b', '25.0 %', '66.7 %', 'worst-2')
