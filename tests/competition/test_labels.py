"""Planted faults of labels are ranked above all others, and written to tables and a page."""

import csv
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import check_with_axe
from PIL import Image
from scipy import ndimage
from scipy.special import softmax

from seglight.array_types import UInt8Array
from seglight.competition import labels as command
from seglight.competition.label_quality.ranking import LabelQuality, worst_regions
from seglight.competition.labels import rank_labels
from seglight.competition.out_of_fold import plan as folds_plan
from seglight.competition.out_of_fold.plan import PLAN, Plan
from seglight.competition.out_of_fold.predictions import DONE, PLAIN, Held, OutOfFold, prediction_folder
from seglight.data.sources.base import Annotation
from seglight.errors import UsageError

CLASSES, SIZE, IMAGES = ('ground', 'can', 'paper'), 64, 40

#: Images whose labels are wrong: of some, an object has another class; of others, all are shifted.
FLIPPED, SHIFTED = (3, 11, 20, 29, 35), (6, 15, 24, 33, 38)


def truth(number: int) -> UInt8Array:
    """Two objects on the ground."""
    rng = np.random.default_rng(number)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    for label, left in ((1, 4), (2, 34)):
        x, y = left + int(rng.integers(8)), int(rng.integers(4, 36))
        mask[y : y + int(rng.integers(12, 20)), x : x + int(rng.integers(12, 18))] = label
    return mask


def given(number: int) -> UInt8Array:
    """The labels, with the planted faults; the first rows are ignored."""
    mask = truth(number)
    if number in FLIPPED:
        mask[mask == 1] = 2
    if number in SHIFTED:
        mask = np.roll(mask, 7, axis=(0, 1))
    mask[:2] = 255
    return mask


def predicted(number: int, seed: int) -> UInt8Array:
    """What a model predicts: the truth, unsure along outlines, with faults of its own."""
    rng = np.random.default_rng((number, seed))
    scores = np.stack([ndimage.gaussian_filter((truth(number) == label).astype(float), 1.5) for label in range(3)])
    noise = np.stack([ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 3) for _ in range(3)])
    shares: UInt8Array = np.round(255 * softmax(6 * scores + 6 * noise, 0)).astype(np.uint8)
    return shares


class Memory(Annotation):
    """The labels of an image in memory."""

    def __init__(self, number: int) -> None:
        self.number = number

    def read(self) -> UInt8Array:
        return given(self.number)

    def size(self) -> tuple[int, int]:
        return SIZE, SIZE

    @property
    def path(self) -> Path:
        return Path(f'{self.number}.png')


class Predictions(OutOfFold):
    """Predictions in memory."""

    @cached_property
    def images(self) -> list[Held]:
        return [Held(Path(f'{n}.jpg').absolute(), n % 2 + 1, f'{n:02}', Memory(n)) for n in range(IMAGES)]

    def probabilities(self, held: Held, model: str, views: str = PLAIN) -> UInt8Array:
        return predicted(int(held.name), ord(model))


@pytest.fixture
def plan() -> Plan:
    read: dict[str, Any] = {'train': 'train', 'val_transforms': [], 'image_range': None}
    data = {'classes': list(CLASSES), 'ignore_index': 255, 'palette': None, **read}
    return Plan(2, None, {'a': {'data': data}, 'b': {'data': data}})


def test_planted_faults_are_found_with_few_false_ones(plan: Plan) -> None:
    ranked = list(LabelQuality(Predictions(Path(), plan)).ranked())
    assert len(ranked) == IMAGES
    planted = {*FLIPPED, *SHIFTED}
    lowest = [int(each.held.name) for each in ranked[: len(planted)]]
    assert len(planted & set(lowest)) >= 9  # precision and recall of 0.9 among as many images as there are faults
    suspicious = {int(each.held.name) for each in ranked if each.regions}
    assert planted <= suspicious  # recall 1
    assert len(planted) / len(suspicious) > 0.7  # precision
    assert {int(held.name) for held, _ in worst_regions(ranked)[: len(planted)]} <= planted
    for each in (each for each in ranked if int(each.held.name) in FLIPPED):
        held, region = each.held, each.regions[0]
        left, top, width, height = region.box
        assert (region.given, region.predicted) == (2, 1)
        object_pixels = truth(int(held.name)) == 1
        covered = object_pixels[top : top + height, left : left + width].sum() / object_pixels.sum()
        assert covered > 0.7  # apart from its outline


def test_tables_and_page_show_the_worst_first(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'folds1'
    folder.mkdir()
    (folder / PLAN).write_text(plan.text())
    monkeypatch.setattr(command, 'OutOfFold', Predictions)
    monkeypatch.setattr(folds_plan, 'check_origin', lambda *_: None)  # its plan has no whole config
    with pytest.raises(UsageError, match='a/fold1 has no complete predictions; repeat the command of seglight folds'):
        rank_labels(str(folder))
    for model in 'ab':
        for fold in (1, 2):
            done = prediction_folder(folder, model, fold) / DONE
            done.parent.mkdir(parents=True)
            done.touch()
    for number in range(1, IMAGES):  # an image that is gone is ranked, too
        Image.fromarray(90 * truth(number)).save(f'{number}.jpg')
    with pytest.raises(UsageError, match='--images must be at least 1, got 0'):
        rank_labels(str(folder), images=0)
    page = rank_labels(str(folder), images=6)
    out = capsys.readouterr().out
    with (folder / 'labels.csv').open() as file:
        rows = list(csv.DictReader(file))
    scores = [float(row['score']) for row in rows]
    assert len(rows) == IMAGES
    assert scores == sorted(scores)
    assert f'{scores[0]:.4f}' in out
    with (folder / 'label_regions.csv').open() as file:
        worst = next(csv.DictReader(file))
    assert int(Path(worst['image']).stem) in FLIPPED
    assert (worst['label'], worst['prediction']) == ('paper', 'can')
    assert 'paper is predicted as can: ' in out
    text = page.read_text()
    assert text.count('<img') == 12
    assert 'Images with the lowest scores' in text
    check_with_axe(page)


def test_images_without_labels_have_no_rank(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Memory, 'read', lambda _: np.full((SIZE, SIZE), 255, dtype=np.uint8))
    assert list(LabelQuality(Predictions(Path(), plan)).ranked()) == []
