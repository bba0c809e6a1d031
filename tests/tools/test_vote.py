"""`seglight vote`: hard voting, compared with counting by hand."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import Result
from PIL import Image

from seglight.submissions import RUNS_HEADER, zipped_mask
from seglight.tools.vote import vote

Run = Callable[..., Result]


def by_hand(labels: list[int], weights: list[float]) -> int:
    """The heaviest class of one pixel; among equals the one that is named first."""
    support = {label: sum(w for each, w in zip(labels, weights, strict=True) if each == label) for label in labels}
    best = max(support.values())
    return next(label for label in labels if abs(support[label] - best) < 1e-9)


@pytest.mark.parametrize('weights', [[1, 1, 1], [2, 1, 1], [0.1, 0.2, 0.3], [1, 1, 3]])
def test_every_pixel_is_what_counting_gives(weights: list[float]) -> None:
    masks = [np.random.default_rng(seed).integers(0, 4, (9, 7), dtype=np.uint8) for seed in range(3)]
    voted = vote(masks, weights)
    for index in np.ndindex(9, 7):
        assert voted[index] == by_hand([int(mask[index]) for mask in masks], weights)


def test_a_tie_goes_to_the_class_that_comes_first() -> None:
    first, second = np.array([[3, 1]], np.uint8), np.array([[2, 1]], np.uint8)
    assert vote([first, second], [1, 1]).tolist() == [[3, 1]]
    assert vote([second, first], [1, 1]).tolist() == [[2, 1]]
    assert vote([first, first, second], [0.1, 0.2, 0.3]).tolist() == [[3, 1]]  # 0.1 + 0.2 is above 0.3 by rounding


def write_csv(path: str, rows: dict[str, str]) -> None:
    pd.DataFrame({'image_id': list(rows), 'PredictionString': list(rows.values())}).to_csv(path, index=False)


def test_submissions_vote(workspace: Path, run: Run) -> None:
    write_csv('a.csv', {'x, y.jpg': '0 1 2 10', 'z.jpg': '1 1 1 1'})
    write_csv('b.csv', {'x, y.jpg': '0 3 3 10', 'z.jpg': '2 2 2 2'})
    write_csv('c.csv', {'x, y.jpg': '5 3 2 7', 'z.jpg': '3 2 1 0'})
    done = run('vote', 'a.csv', 'b.csv', 'c.csv', '--output', 'voted.csv')
    assert done.status == 0, done.err
    write_csv('expected.csv', {'x, y.jpg': '0 3 2 10', 'z.jpg': '1 2 1 1'})
    assert Path('voted.csv').read_bytes() == Path('expected.csv').read_bytes()
    again = run('vote', 'a.csv', 'b.csv', '--output', 'voted.csv')
    assert again.status == 2
    assert 'voted.csv exists' in again.err


def test_folders_of_masks_vote_and_keep_the_palette(workspace: Path, run: Run) -> None:
    for folder, label in (('a', 1), ('b', 2), ('c', 2)):
        Path(folder, 'deep').mkdir(parents=True)
        image = Image.fromarray(np.full((4, 5), label, np.uint8))
        image.putpalette([9, 8, 7] * 256)
        image.save(Path(folder, 'deep', 'm.png'))
    assert run('vote', 'a', 'b', 'c', '--output', 'plain').status == 0
    assert run('vote', 'a', 'b', 'c', '--weights', '3', '1', '1', '--output', 'heavy').status == 0
    voted = Image.open('plain/deep/m.png')
    assert (np.asarray(voted) == 2).all()
    assert (voted.getpalette() or [])[:3] == [9, 8, 7]
    assert (np.asarray(Image.open('heavy/deep/m.png')) == 1).all()


@pytest.mark.parametrize(
    'words, said',
    [
        (['a.csv', 'none.csv'], 'none.csv does not exist'),
        (['a.csv', 'other.csv'], "'u.jpg' must be in both a.csv and other.csv"),
        (['a.csv', 'longer.csv'], "'v.jpg' must be in both a.csv and longer.csv"),
        (['a.csv', 'larger.csv'], "'u.jpg' has different sizes in a.csv and larger.csv"),
        (['a.csv', 'wrong.csv'], "wrong.csv: the PredictionString of 'u.jpg' is wrong"),
        (['a.csv', 'folder'], 'must both be CSV files or both be folders'),
        (
            ['runs.csv', 'a.csv'],
            'runs.csv is not a submission of labels: it has run lengths, which do not tell the size',
        ),
        (['masks.zip', 'a.csv'], 'masks.zip is not a submission of labels: it is a zip; extract it'),
        (['swapped.csv', 'a.csv'], 'swapped.csv is not a submission of labels: its first line must be image_id,'),
        (['a.csv', 'a.csv', '--weights', '1'], '--weights must be a positive number for each of the 2 inputs'),
    ],
)
def test_inputs_that_are_not_alike_are_refused(workspace: Path, run: Run, words: list[str], said: str) -> None:
    write_csv('a.csv', {'u.jpg': '0 1'})
    write_csv('other.csv', {'v.jpg': '0 1'})
    write_csv('longer.csv', {'u.jpg': '0 1', 'v.jpg': '0 1'})
    write_csv('larger.csv', {'u.jpg': '0 1 1'})
    write_csv('wrong.csv', {'u.jpg': '0 x'})
    Path('runs.csv').write_bytes(RUNS_HEADER)
    Path('swapped.csv').write_text('PredictionString,image_id\n')
    with zipfile.ZipFile('masks.zip', 'w') as masks:
        masks.writestr(zipped_mask('u'), b'')
    Path('folder').mkdir()
    done = run('vote', *words, '--output', 'out.csv')
    assert done.status == 2
    assert said in done.err
    assert not Path('out.csv').exists()
