"""Run lengths, compared with pycocotools, which also counts column by column, but from 0 and with gaps."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from seglight.errors import DataError
from seglight.run_lengths import decode_runs, encode_runs


def test_the_order_is_that_of_kaggle() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], dtype=bool)
    assert encode_runs(mask) == '3 3'  # the second column, then the top of the third
    assert encode_runs(np.array([[1, 0], [0, 1]], dtype=bool)) == '1 1 4 1'
    assert encode_runs(np.zeros((2, 2), bool)) == ''
    assert encode_runs(np.ones((2, 3), bool)) == '1 6'


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 1.0])
def test_what_is_written_is_read(share: float) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((13, 17)) < share
    assert (decode_runs(encode_runs(mask), mask.shape) == mask).all()


def test_the_runs_are_those_of_pycocotools() -> None:
    mask = np.random.default_rng(1).random((9, 11)) < 0.5
    numbers = list(map(int, encode_runs(mask).split()))
    counts, end = [], 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        counts += [start - 1 - end, length]
        end = start - 1 + length
    counts.append(mask.size - end)
    expected = coco_mask.decode(coco_mask.frPyObjects({'size': [9, 11], 'counts': counts}, 9, 11))
    assert (expected == mask).all()


@pytest.mark.parametrize(
    'text', ['1', '1 a', '1 -2', '0 1', '1 0', '4 2 3 1', '1 2 2 1', '5 3', '1.5 2', '9' * 30 + ' 1']
)
def test_wrong_runs_are_rejected(text: str) -> None:
    with pytest.raises(DataError, match='run lengths must be'):
        decode_runs(text, (2, 3))
