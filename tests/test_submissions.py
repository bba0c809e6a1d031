"""Submissions, compared byte for byte with pandas."""

import os
from pathlib import Path

import albumentations as A
import numpy as np
import pandas as pd
import pytest

from seglight.errors import DataError
from seglight.submissions import HEADER, Submission, format_labels, parse_labels, row, shrink

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize('classes', [2, 10, 11, 100, 101, 256])
def test_a_file_is_that_of_pandas_to_the_byte(classes: int, tmp_path: Path) -> None:
    masks = {
        name: RANDOM.integers(0, classes, (16, 16), dtype=np.uint8)
        for name in ('batch_01/0001.jpg', 'a, b.jpg', 'say "x".jpg', 'ä.png')
    }
    strings = [' '.join(str(e) for e in mask.flatten().tolist()) for mask in masks.values()]
    table = pd.DataFrame({'image_id': list(masks), 'PredictionString': strings})
    table.to_csv(tmp_path / 'pandas.csv', index=False)
    ours = HEADER + b''.join(row(name, format_labels(mask)) for name, mask in masks.items())
    assert ours == (tmp_path / 'pandas.csv').read_bytes()
    read = Submission(tmp_path / 'pandas.csv')
    assert read.names == list(masks)
    assert all((read.labels(name) == mask.ravel()).all() for name, mask in masks.items())


def test_a_pipe_is_refused_before_it_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'a.csv')
    with pytest.raises(DataError, match=r'a\.csv cannot be read: it is not a regular file'):
        Submission(tmp_path / 'a.csv')


def test_masks_shrink_as_albumentations_shrinks_them() -> None:
    mask = RANDOM.integers(0, 11, (50, 70), dtype=np.uint8)
    assert (shrink(mask, (32, 24)) == A.Resize(32, 24)(image=mask, mask=mask)['mask']).all()
    assert shrink(mask, None) is mask


def test_a_file_that_a_spreadsheet_saved_is_the_same(tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_text('image_id,PredictionString\r\nb/ä.jpg,0 2\r\n', encoding='utf-8-sig', newline='')
    found = Submission(tmp_path / 'a.csv')
    assert found.names == ['b/ä.jpg']
    assert found.labels('b/ä.jpg').tolist() == [0, 2]


@pytest.mark.parametrize('content', [b'', b'id,mask\n', HEADER + b'nothing\n'])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / 'a.csv').write_bytes(content)
    with pytest.raises(DataError, match=r'a\.csv'):
        Submission(tmp_path / 'a.csv')


@pytest.mark.parametrize('text', [b'1 x 2', b'1 256', b'-1', b'1.5', b'\xff'])
def test_labels_that_are_none_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        parse_labels(text)
