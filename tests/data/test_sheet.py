"""The contact sheet: samples of any size are whole and undistorted, and a page stays a page."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.sheet import _absence, _shown, check_request, contact_sheet
from seglight.errors import ConfigError

#: Plain images that the page has no other pixels of, and their height and width.
COLOURS = [(250, 10, 20), (20, 240, 30), (30, 40, 230), (240, 230, 10), (230, 20, 240)]
SIZES = [(90, 30), (30, 90), (50, 50), (120, 40), (8, 80)]


def sheet(root: Path, images: int, classes: int = 3, count: int = 12) -> np.ndarray:
    """The page of some of the images, whose masks are ignored but for a corner with the labels in turn."""
    for kind in ('img_dir', 'ann_dir'):
        for split in ('train', 'val'):
            (root / kind / split).mkdir(parents=True)
    for index in range(images):
        height, width = SIZES[index]
        image = np.full((height, width, 3), COLOURS[index], np.uint8)
        mask = np.full((height, width), 255, np.uint8)
        labels = range(classes * index // images, classes * (index + 1) // images)
        mask[0, : len(labels)] = labels
        for split in ('train', 'val'):
            Image.fromarray(image if split == 'train' else image // 2).save(root / f'img_dir/{split}/{index}.png')
            Image.fromarray(mask).save(root / f'ann_dir/{split}/{index}.png')
    names = [f'class {index}' for index in range(classes)]
    module = SegmentationDataModule(classes=names, root=str(root), num_workers=0)
    module.setup('fit')
    return np.asarray(Image.open(io.BytesIO(contact_sheet(module, count))).convert('RGB'))


def box(page: np.ndarray, index: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what has the colour of an image, over its whole length."""
    there = (page == COLOURS[index]).all(-1)
    rows, columns = np.flatnonzero(there.sum(1) > 8), np.flatnonzero(there.sum(0) > 3)
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def test_samples_of_any_size_keep_their_shape_in_cells_of_one_size(tmp_path: Path) -> None:
    page = sheet(tmp_path, 5)
    boxes = np.array([box(page, index) for index in range(5)])
    for (top, bottom, left, right), (height, width) in zip(boxes, SIZES, strict=True):
        assert abs((bottom - top) - (right - left) * height / (2 * width)) < 6  # an image and its overlay
    middles = (boxes[:, 0] + boxes[:, 1]) / 2
    assert len({round(middle / 10) for middle in middles}) == 2  # two rows of three cells
    assert (boxes[:, 1] - boxes[:, 0]).max() < 300


def test_one_sample_is_as_wide_as_the_page(tmp_path: Path) -> None:
    page = sheet(tmp_path, 2, count=1)
    shown = [index for index in range(2) if (page == COLOURS[index]).all(-1).any()]
    assert len(shown) == 1
    top, bottom, left, right = box(page, shown[0])
    assert right - left > 1500 or bottom - top > 550


def test_a_page_of_many_classes_is_as_long_as_one_of_forty(tmp_path: Path) -> None:
    assert len(sheet(tmp_path / 'many', 5, 150)) - len(sheet(tmp_path / 'forty', 5, 40)) < 60


def test_of_many_classes_the_most_and_the_least_frequent_have_bars() -> None:
    pixels = np.arange(100)[::-1] * 10  # class 99 is in no image
    order, absent = _shown(pixels)
    assert order == [*range(20), None, *range(79, 99)]
    assert absent == [99]
    assert _shown(pixels[60:]) == (list(range(40)), [])  # each has its bar, also one of nothing
    few = np.where(np.arange(100) < 30, 5, 0)
    order, absent = _shown(few)
    assert order == list(range(30))
    names = [str(index) for index in range(100)]
    assert _absence(absent, names) == 'In no image: 30, 31, 32, 33, 34, 35, 36, 37 and 62 more'


@pytest.mark.parametrize(
    ('path', 'count', 'message'),
    [
        ('a.png', 0, '--images must be at least 1, got 0'),
        ('a.png', -3, '--images must be at least 1, got -3'),
        ('a.gif', 12, "--output must end with .png, .jpg, .jpeg, .webp, .pdf or .svg, got 'a.gif'"),
        ('a', 12, "got 'a'"),
    ],
)
def test_an_invalid_picture_is_rejected(path: str, count: int, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_request(Path(path), count)
    assert message in str(error.value)
