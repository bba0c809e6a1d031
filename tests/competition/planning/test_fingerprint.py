"""The fingerprint of a few drawn masks, against counts by hand and by scipy."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from seglight.competition.planning.fingerprint import Fingerprint, objects_of, take
from seglight.data import SegmentationDataModule


def write(root: Path, name: str, mask: np.ndarray) -> None:
    for folder, pixels, suffix in (('img_dir', np.zeros((*mask.shape, 3), np.uint8), 'jpg'), ('ann_dir', mask, 'png')):
        path = root / folder / 'train' / f'{name}.{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


@pytest.fixture
def drawn(tmp_path: Path) -> Fingerprint:
    """Three images: one with two objects of class 1, one with one of class 2, and a larger one with neither."""
    first = np.zeros((40, 60), np.uint8)
    first[0:10, 0:10], first[20:24, 30:55], first[30:33, 0:5] = 1, 1, 1  # 100 and 100 pixels; 15 are too few
    second = np.zeros((40, 60), np.uint8)
    second[10:30, 10:30], second[0, :] = 2, 255
    for name, mask in {'a': first, 'b': second, 'c': np.zeros((80, 100), np.uint8)}.items():
        write(tmp_path, name, mask)
    module = SegmentationDataModule(['ground', 'car', 'bus', 'tram'], root=str(tmp_path), train='train')
    return take(module.samples('fit', [])['train'], 4)


def test_what_is_in_the_images(drawn: Fingerprint) -> None:
    assert drawn.images == drawn.masks == 3
    assert drawn.size == (40, 60)
    assert drawn.pixels.tolist() == [[2185, 215, 0, 0], [1940, 0, 400, 0], [8000, 0, 0, 0]]
    assert drawn.presence.sum(0).tolist() == [3, 1, 1, 0]


def test_objects(drawn: Fingerprint) -> None:
    assert drawn.areas[1].tolist() == [100, 100]
    assert drawn.lengths[1].tolist() == [10, 25]
    assert drawn.areas[2].tolist() == [400]
    assert not len(drawn.areas[3])
    assert drawn.sides()[1:3].tolist() == [10, 20]
    assert np.isnan(drawn.sides()[3])
    assert drawn.length == np.median([60, 60, 100, 10, 25, 20])


def test_objects_are_those_of_scipy() -> None:
    mask = (np.random.default_rng(0).random((200, 300)) < 0.45).astype(np.uint8)
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())[1:]
    boxes = [
        max(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in ndimage.find_objects(labels)
    ]
    expected = [(area, box) for area, box in zip(areas, boxes, strict=True) if area >= 16]
    assert 0 < len(expected) < count
    assert sorted(map(tuple, objects_of(mask, 1).tolist())) == sorted(expected)
