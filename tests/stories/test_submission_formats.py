"""Submissions as run lengths and as a zip hold the masks that `predict` writes."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from conftest import Result
from PIL import Image

import seglight
from seglight.run_lengths import decode_runs

Run = Callable[..., Result]


def check_labels(file: Path, masks: dict[str, np.ndarray], size: tuple[int, int]) -> None:
    """Compare the rows of a submission with OpenCV's resized masks."""
    table = pd.read_csv(file, dtype=str)
    assert len(table) == len(masks)
    for image, text in zip(table['image_id'], table['PredictionString'], strict=True):
        expected = cv2.resize(masks[Path(image).stem], size[::-1], interpolation=cv2.INTER_NEAREST)
        assert text.split() == [str(label) for label in expected.ravel()]


def test_what_is_submitted_are_the_masks(trained: Path, workspace: Path, run: Run) -> None:
    checkpoint = trained / 'epoch_2.ckpt'
    words = ['predict', '--ckpt', checkpoint, '--output', 'out', '--submission']
    done = run(*words, '--submission-format', 'rle', '--submission-size=null')
    assert done.status == 0, done.err
    masks = {path.stem: np.asarray(Image.open(path)) for path in Path('out/masks').iterdir()}
    classes = seglight.load(checkpoint).classes
    table = pd.read_csv('out/epoch_2.csv', dtype=str, keep_default_na=False)
    assert list(table.columns) == ['image_id', 'class_id', 'EncodedPixels']
    assert list(table['class_id']) == [str(label) for label in range(1, len(classes))] * len(masks)
    for image, rows in table.groupby('image_id'):
        expected = masks[Path(str(image)).stem]
        found = np.zeros_like(expected)
        for label, runs in zip(rows['class_id'], rows['EncodedPixels'], strict=True):
            found[decode_runs(runs, expected.shape)] = int(label)
        assert (found == expected).all()

    done = run(*words, '--submission-format', 'zip', '--submission-size=[32,16]')
    assert done.status == 0, done.err
    with zipfile.ZipFile('out/epoch_2.zip') as file:
        assert file.namelist() == [f'{name}.png' for name in sorted(masks)]
        for name, mask in masks.items():
            found = np.asarray(Image.open(io.BytesIO(file.read(f'{name}.png'))))
            assert (found == mask[::2, ::4]).all()

    done = run(*words, '--submission-format', 'labels', '--remark', 'whole', '--submission-size', '30')
    assert done.status == 0, done.err
    check_labels(Path('out/epoch_2_whole.csv'), masks, (30, 30))
    done = run(*words, '--submission-size', '40', '100', '--remark', 'wide', '--submission-format', 'rle')
    assert done.status == 0, done.err
    table = pd.read_csv('out/epoch_2_wide.csv', dtype=str, keep_default_na=False)
    for (image, label), rows in table.groupby(['image_id', 'class_id']):
        expected = cv2.resize(masks[Path(str(image)).stem], (100, 40), interpolation=cv2.INTER_NEAREST)
        assert (decode_runs(rows['EncodedPixels'].iloc[0], (40, 100)) == (expected == int(str(label)))).all()

    wrong = run(*words, '--submission-size', '1', '2', '3')
    assert wrong.status == 2
    assert '--submission-size must be 512, or height and width as in 256 384, got [1, 2, 3]' in wrong.err
    wrong = run(*words, '--submission-format', 'tar')
    assert wrong.status == 2
    assert "--submission-format must be labels, rle, zip, got 'tar'" in wrong.err
