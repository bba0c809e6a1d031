"""YOLO text files: the same pixels as Ultralytics, and faulty files."""

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglight.data.sources import Context, YoloSource
from seglight.data.sources.yolo.lines import Polygons
from seglight.errors import DataError

CLASSES = ['background', 'cat', 'dog']

LINES = """0 0.05 0.1 0.6 0.07 0.55 0.8 0.1 0.9
1 0.3 0.3 0.98 0.2 0.9 1.0 0.4 0.95
0 0.5 0.5 0.61 0.52 0.7 0.66 0.47 0.71
1 0.1 0.15 0.2 0.15 0.25 0.35
"""

#: What `polygons2masks_overlap` of Ultralytics 8.4.190 draws of these on 20x32: `c` for class 0, `d` for class 1.
DRAWN = """
................................
...........ccccccccc............
.ccccccccccccccccccc............
.ccddddccccccccccccc............
.cccdddccccccccccccc......dddddd
.ccccdddcccccccccccddddddddddddd
.ccccccdcccccccccccddddddddddddd
..ccccccdccccccccccdddddddddddd.
..cccccccccccccccccdddddddddddd.
..cccccccccccccccccdddddddddddd.
..ccccccccccccccccccddddddddddd.
..cccccccccccccccccccdddddddddd.
..ccccccccccccccccccccdddddddd..
..cccccccccccccccccccccddddddd..
..cccccccccccccccccddddddddddd..
...cccccccccccccccdddddddddddd..
...cccccccccccccccdddddddddddd..
...cccccccccccddddddddddddddd...
...cccc.....ddddddddddddddddd...
............ddddddddddddddddd...
"""


def write(root: Path, text: str | bytes | None, name: str = 'a') -> None:
    for folder in ('images', 'labels'):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (32, 20)).save(root / f'images/{name}.jpg')
    if text is not None:
        (root / f'labels/{name}.txt').write_bytes(text.encode() if isinstance(text, str) else text)


def masks(root: Path, classes: list[str] = CLASSES, **options: Any) -> dict[str, np.ndarray]:
    source = YoloSource(**{'img_dir': 'images', 'label_dir': 'labels', 'names': ['cat', 'dog'], **options})
    samples = source.samples(Context(classes, root=root))
    faults = [sample.fault for sample in samples if sample.fault]
    if faults:
        raise DataError(faults[0])
    return {sample.name: sample.mask.read() for sample in samples if sample.mask is not None}


def test_polygons_are_those_of_ultralytics(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    expected = np.array([['.cd'.index(character) for character in row] for row in DRAWN.split()])
    assert np.array_equal(masks(tmp_path)['a'], expected)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 2), st.lists(st.floats(0, 1, width=32), min_size=6, max_size=6)), max_size=5))
def test_polygons_are_filled_by_opencv_the_largest_first(polygons: list[tuple[int, list[float]]]) -> None:
    points = [(label, np.array(values, dtype=np.float32).reshape(-1, 2)) for label, values in polygons]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'a.png'
        Image.new('RGB', (32, 20)).save(path)
        mask = Polygons(path, path, points, 0).read()
    shapes = []
    for label, corners in points:
        filled = cv2.fillPoly(
            np.zeros((20, 32), np.uint8), [(corners * np.array([32, 20], np.float32)).astype(np.int32)], 1
        )
        shapes.append((label, filled > 0))
    expected = np.zeros((20, 32))
    for label, shape in sorted(shapes, key=lambda each: -int(each[1].sum())):
        expected[shape] = label
    assert (mask == expected).all()


def test_names_come_from_a_list_a_dict_or_the_data_yaml(tmp_path: Path) -> None:
    write(tmp_path, LINES, 'in/a')
    expected = masks(tmp_path)['in/a']
    (tmp_path / 'data.yaml').write_text('path: ../x\ntrain: images\nnc: 2\nnames:\n  0: cat\n  1: dog\n')
    (tmp_path / 'old.yaml').write_text("names: ['cat', 'dog']\n")
    for names in ({0: 'cat', 1: 'dog'}, 'data.yaml', 'old.yaml'):
        assert np.array_equal(masks(tmp_path, names=names)['in/a'], expected)
    swapped = masks(tmp_path, names=['dog', 'cat'])['in/a']
    assert np.array_equal(np.array([0, 2, 1])[swapped], expected)
    for text, message in (('nc: 2', 'has no class names'), ('{', 'cannot be read'), ('names: 3', 'has no class names')):
        (tmp_path / 'data.yaml').write_text(text)
        with pytest.raises(DataError, match=message):
            masks(tmp_path, names='data.yaml')


def test_an_image_without_a_file_or_with_an_empty_one_has_no_objects(tmp_path: Path) -> None:
    write(tmp_path, LINES, 'a')
    write(tmp_path, '\n', 'b')
    write(tmp_path, None, 'c')
    found = masks(tmp_path)
    assert not found['b'].any()
    assert not found['c'].any()
    (tmp_path / 'labels/a.txt').unlink()
    (tmp_path / 'labels/b.txt').unlink()
    with pytest.raises(DataError, match=r'has no \.txt file with the name of an image'):
        masks(tmp_path)


def test_what_pixels_without_an_object_are(tmp_path: Path) -> None:
    write(tmp_path, '1 0 0 0.5 0 0.5 0.5')
    # A parent class of Roboflow, of which nothing is drawn.
    assert set(np.unique(masks(tmp_path, ['pets', 'cat'], names=['pets', 'cat'])['a'])) == {0, 1}
    assert set(np.unique(masks(tmp_path, ['cat', 'dog'], names=['dog', 'cat'])['a'])) == {0, 255}
    assert set(np.unique(masks(tmp_path, background=None)['a'])) == {2, 255}
    assert set(np.unique(masks(tmp_path, background='cat')['a'])) == {2, 1}


def test_boxes_are_rejected_or_counted_and_left_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, LINES + '0 0.5 0.5 0.2 0.2\n')
    with pytest.raises(
        DataError, match=r'labels: 1 of 5 objects have only a box and no outline, first a.txt:5; set on_box: skip'
    ):
        masks(tmp_path)
    expected = np.array([['.cd'.index(character) for character in row] for row in DRAWN.split()])
    assert np.array_equal(masks(tmp_path, on_box='skip')['a'], expected)
    assert '1 of 5 objects have only a box and no outline and are left out' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 0.1 0.1 0.2 0.2 x 0.3', r'a.txt:1: must hold numbers, got 0 0.1'),
        ('\n0 0.1 0.1 0.2 0.2 0.3', r'a.txt:2: must have a class, and x and y of at least three points, got 5 coord'),
        ('0 0.1 0.1', r'got 2 coordinates'),
        ('0', r'got 0 coordinates'),
        ('2 0.1 0.1 0.2 0.2 0.3 0.3', r'the class is 2, but 2 classes have names'),
        ('0.5 0.1 0.1 0.2 0.2 0.3 0.3', r'the class is 0.5'),
        ('-1 0.1 0.1 0.2 0.2 0.3 0.3', r'the class is -1'),
        ('nan 0.1 0.1 0.2 0.2 0.3 0.3', r'the class is nan'),
        ('0 1 1 20 1 20 20', r'a.txt:1: coordinates must be from 0 to 1'),
        ('0 nan nan nan nan nan nan', r'coordinates must be from 0 to 1'),
        ('0 1e999 0 0 0 1 1', r'coordinates must be from 0 to 1'),
        (b'\xff\xfe0', r'not UTF-8 text'),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    write(tmp_path, text)
    with pytest.raises(DataError, match=message):
        masks(tmp_path)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 0 0 1 0 1 1 0 1\n' * 344, 'has 344 objects in 20000x20000 pixels, too many to paint; cut it into tiles'),
        (f'0 {"0 0 1 1 " * 420}', 'has outlines of 16800000 pixels in all, more than the maximum of 16777216'),
    ],
)
def test_polygons_that_would_take_hours_to_paint_are_rejected(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, text)
    Image.new('1', (20_000, 20_000)).save(tmp_path / 'images/a.jpg', 'PNG')
    with pytest.raises(DataError, match=message):
        masks(tmp_path)


def test_an_unknown_name_is_rejected_with_the_nearest_class(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    with pytest.raises(DataError, match=r"has the category 'dgo', which is not in data.classes; did you mean 'dog'"):
        masks(tmp_path, names=['cat', 'dgo'])
    assert 2 in masks(tmp_path, names=['cat', 'dgo'], category_map={'dgo': 'dog'})['a']


def test_missing_folders_are_named(tmp_path: Path) -> None:
    write(tmp_path, LINES)
    with pytest.raises(DataError, match=r'The label folder .*/gone does not exist'):
        masks(tmp_path, label_dir='gone')
