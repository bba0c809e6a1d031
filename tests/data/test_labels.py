"""Mapping labels and colours of mask files to classes, and invalid names, colours and labels."""

import tempfile
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.dataset import SegmentationDataset
from seglight.data.labels import LabelMap
from seglight.data.sources import Context, MaskFile, Sample
from seglight.errors import ConfigError, DataError

CLASSES = ['sky', 'road', 'car']
PALETTE = [[0, 0, 255], [100, 100, 100], [255, 0, 0]]

#: What a source's `label_map` gives for a label: a class by its name or number, or none.
VALUES = st.sampled_from([None, 0, 1, 2, *CLASSES])


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 65535) | st.integers(0, 6), min_size=1, max_size=20),
    label_map=st.dictionaries(st.integers(0, 6) | st.integers(250, 260) | st.just(65534), VALUES),
    reduce_zero_label=st.booleans(),
    wide=st.booleans(),
)
def test_labels_are_mapped_as_a_lookup_of_each_pixel_does(
    labels: list[int], label_map: dict[int, Any], reduce_zero_label: bool, wide: bool
) -> None:
    pixels = np.array([labels], dtype=np.uint16) if wide else np.array([labels], dtype=np.uint16).astype(np.uint8)

    def looked_up(label: int) -> int | None:
        """The class of a label of the file; None for one above 255 that is mapped to none."""
        if reduce_zero_label and label == 0:
            return 255
        moved = label - 1 if reduce_zero_label and label != 255 else label
        if moved in label_map:
            value = label_map[moved]
            return 255 if value is None else CLASSES.index(value) if isinstance(value, str) else value
        return moved if label <= 255 else None

    expected = [looked_up(int(label)) for label in pixels[0]]
    mapping = LabelMap.of(Context(CLASSES), reduce_zero_label, label_map)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'a.png'
        Image.fromarray(pixels).save(path)
        if None in expected:
            with pytest.raises(DataError, match='has the label'):
                mapping.read(path)
        else:
            assert mapping.read(path).tolist() == [expected]


def coloured(path: Path) -> Path:
    Image.fromarray(np.array([PALETTE], dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize('mapped', [{'reduce_zero_label': True}, {'label_map': {1: 2}}])
def test_colours_cannot_be_mapped_as_labels(tmp_path: Path, mapped: dict[str, Any]) -> None:
    path = coloured(tmp_path / 'a.png')
    assert LabelMap.of(Context(CLASSES, PALETTE)).read(path).tolist() == [[0, 1, 2]]
    with pytest.raises(DataError, match=r'a.png has RGB colours, .* reduce_zero_label and label_map .* are for labels'):
        LabelMap.of(Context(CLASSES, PALETTE), **mapped).read(path)


def test_a_colour_of_two_classes_is_ambiguous(tmp_path: Path) -> None:
    twice = [PALETTE[0], PALETTE[1], PALETTE[1]]
    with pytest.raises(DataError, match=r'data.palette has the colour \[100, 100, 100\] twice'):
        LabelMap.of(Context(CLASSES, twice)).read(coloured(tmp_path / 'a.png'))
    Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).save(tmp_path / 'b.png')
    assert LabelMap.of(Context(CLASSES, twice)).read(tmp_path / 'b.png').tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ('ignored', 'message'),
    [
        ([[9, 9, 9], [255, 0, 0]], r'ignore_colours has \[255, 0, 0\], which is the colour of a class'),
        ([[255, 255]], r'ignore_colours: \[255, 255\] is not an RGB colour'),
    ],
)
def test_an_invalid_ignored_colour_is_rejected(ignored: list[list[int]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LabelMap.of(Context(CLASSES, PALETTE), ignore_colours=ignored)


@pytest.mark.parametrize(
    ('values', 'message'),
    [
        ({'classes': []}, 'data.classes must name 2 to 255 classes, got 0'),
        ({'classes': ['object']}, r"must also name what is not 'object': use \[background, object\]"),
        ({'classes': ['Background']}, r'use \[Background, object\]'),
        ({'classes': [str(index) for index in range(256)]}, 'data.classes must name 2 to 255 classes, got 256'),
        ({'classes': ['a', 'b', 'a']}, "data.classes names 'a' twice"),
        (
            {'ignore_index': 1},
            "data.ignore_index is 1, the label of the class 'road'; set it to 3 to 255; to ignore this label in masks, use label_map",
        ),
        ({'palette': [[0, 0, 300], *PALETTE[1:]]}, r'data.palette: \[0, 0, 300\] is not an RGB colour'),
        ({'palette': [[0, 0, -1], *PALETTE[1:]]}, r'data.palette: \[0, 0, -1\] is not an RGB colour'),
        ({'palette': [[0, 0], *PALETTE[1:]]}, r'data.palette: \[0, 0\] is not an RGB colour'),
        ({'class_balance': float('nan')}, 'data.class_balance must be 0 to 1, got nan'),
        ({'cache': float('nan')}, 'data.cache must be at least 0, got nan'),
        ({'cache': float('inf')}, 'data.cache must be at least 0, got inf'),
        ({'seed': -5}, 'data.seed must be 0 to 4294967295, got -5'),
    ],
)
def test_invalid_data_settings_are_rejected(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SegmentationDataModule(**{'classes': CLASSES, **values})


def test_classes_as_many_as_labels_go_with_the_ignore_label() -> None:
    assert len(SegmentationDataModule([str(index) for index in range(255)]).classes) == 255


def indexed(path: Path, indices: list[int], palette: list[list[int]], filled: bool = False) -> Path:
    image = Image.fromarray(np.array([indices], dtype=np.uint8))
    flat = [value for colour in palette for value in colour]
    image.putpalette(flat + [0] * (768 - len(flat)) if filled else flat)
    image.save(path)
    return path


SKY, ROAD, CAR = PALETTE
BORDER = [9, 9, 9]


@pytest.mark.parametrize('suffix', ['png', 'tif'])
@pytest.mark.parametrize(
    ('palette', 'indices', 'expected'),
    [
        ([SKY, ROAD, CAR], [0, 1, 2], [0, 1, 2]),
        ([CAR, SKY, ROAD], [0, 1, 2], [2, 0, 1]),
        ([CAR, SKY, ROAD], [1, 1], [0, 0]),
        ([SKY, CAR], [0, 1], [0, 2]),  # without the colour that the image does not need
        ([CAR], [0], [2]),
        ([CAR, SKY, ROAD, BORDER], [3, 0], [255, 2]),
        ([CAR, SKY, ROAD, *[[0, 0, number] for number in range(1, 253)]], [0, 255], [2, 255]),
        ([[1, 1, 1], [2, 2, 2], [3, 3, 3]], [0, 1, 2], [0, 1, 2]),  # colours of another kind: labels
        ([[0, 0, 0], ROAD, SKY], [0, 1, 2], [0, 1, 2]),
        ([SKY, SKY, SKY], [0, 1, 2], [0, 1, 2]),
    ],
)
def test_a_palette_in_another_order_gives_the_classes(
    suffix: str, palette: list[list[int]], indices: list[int], expected: list[int], tmp_path: Path
) -> None:
    path = indexed(tmp_path / f'a.{suffix}', indices, palette)
    # Followed by colour where all of the file's are known, as each pixel's lookup does.
    assert LabelMap.of(Context(CLASSES, PALETTE), ignore_colours=[BORDER]).read(path).tolist() == [expected]
    # Without data.palette, or where the source maps labels, they are labels.
    assert LabelMap.of(Context(CLASSES)).read(path).tolist() == [indices]
    mapped = LabelMap.of(Context(CLASSES, PALETTE), label_map={7: 0}).read(path)
    assert mapped.tolist() == [indices]


def test_a_padded_palette_is_recognised(tmp_path: Path) -> None:
    path = indexed(tmp_path / 'a.png', [0, 1, 2, 255], [CAR, SKY, ROAD], filled=True)
    assert LabelMap.of(Context(CLASSES, PALETTE)).read(path).tolist() == [[2, 0, 1, 255]]


def test_a_palette_that_contradicts_data_palette_is_reported(tmp_path: Path) -> None:
    labels = LabelMap.of(Context(CLASSES, PALETTE))
    path = indexed(tmp_path / 'a.png', [0, 1, 2], [CAR, SKY, ROAD])
    assert 'in another order; the colours count' in (labels.palette_note(path, CLASSES) or '')
    note = labels.palette_note(indexed(path, [0, 1, 2], [SKY, CAR, [5, 5, 5]]), CLASSES) or ''
    assert "gives label 1, 'road', the colour that 'car' has in data.palette; the label counts" in note
    assert labels.palette_note(indexed(path, [0, 1, 2], PALETTE), CLASSES) is None
    assert labels.palette_note(indexed(path, [0, 1, 2], [[1, 1, 1], [2, 2, 2], [3, 3, 3]]), CLASSES) is None


@settings(max_examples=40, deadline=None)
@given(labels=st.lists(st.integers(0, 255), min_size=1, max_size=20))
def test_the_nearest_label_is_that_of_a_search(labels: list[int]) -> None:
    known = {0: 0, 90: 1, 200: 2, 255: 255}  # sky is not named and keeps its number; 255 is ignored
    mapping = LabelMap.of(Context(CLASSES), label_map={90: 'road', 200: 'car'}, nearest=True)
    expected = [known[min((abs(each - label), each) for each in known)[1]] for label in labels]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'a.png'
        Image.fromarray(np.array([labels], dtype=np.uint8)).save(path)
        assert mapping.read(path).tolist() == [expected]


def test_a_mask_saved_as_jpeg_comes_back(tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[10:40, 20:50] = 1
    path = tmp_path / 'a.jpg'
    Image.fromarray(labels * 255).save(path, quality=60)
    assert len(np.unique(np.asarray(Image.open(path)))) > 2
    found = LabelMap.of(Context(CLASSES[:2]), label_map={255: 'road'}, nearest=True).read(path)
    assert np.array_equal(found, np.asarray(Image.open(path)) > 127)
    assert (found == labels).mean() > 0.99
    Image.fromarray(labels * 255).convert('RGB').save(path, quality=60)
    found = LabelMap.of(Context(CLASSES[:2]), label_map={255: 'road'}, nearest=True).read(path)
    assert np.array_equal(found, np.asarray(Image.open(path))[..., 0] > 127)
    Image.fromarray(np.array(PALETTE, np.uint8)[labels * 2]).save(path, quality=90, subsampling=0)
    found = LabelMap.of(Context(CLASSES, PALETTE), nearest=True).read(path)
    colours = np.asarray(Image.open(path)).astype(int)
    distances = ((colours[..., None, :] - np.array(PALETTE)) ** 2).sum(-1)
    assert np.array_equal(found, distances.argmin(-1))
    assert (found == labels * 2).mean() > 0.95


def test_reduce_zero_label_goes_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    Image.fromarray(np.array([[0, 1, 9, 11, 40, 255]], np.uint8)).save(path)
    mapping = LabelMap.of(Context(CLASSES), reduce_zero_label=True, label_map={9: 'car'}, nearest=True)
    # Labels 0 (ignored), 1 and 2 (classes 0 and 1), 10 (9 after the reduction, car) and 255 (ignored).
    assert mapping.read(path).tolist() == [[255, 0, 2, 2, 2, 255]]


def test_the_nearest_needs_something_to_be_near_to() -> None:
    with pytest.raises(ConfigError, match=r'nearest needs label_map .* or data\.palette'):
        LabelMap.of(Context(CLASSES), nearest=True)


@pytest.mark.parametrize(
    ('suffix', 'cause'),
    [
        ('jpg', 'is saved as JPEG, which changes labels: save it as PNG, or set nearest'),
        ('png', 'interpolated edges: resize'),
    ],
)
def test_the_cause_of_labels_that_mean_nothing_is_named(suffix: str, cause: str, tmp_path: Path) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 250
    path = tmp_path / f'a.{suffix}'
    Image.fromarray(mask).resize((150, 150), Image.Resampling.BILINEAR).save(path)
    sample = Sample(tmp_path / 'b.jpg', 'b', MaskFile(path, LabelMap.of(Context(CLASSES))))
    dataset = SegmentationDataset([sample], A.Compose([]), CLASSES)
    with pytest.raises(DataError, match=rf'has the label .* correct the mask or the classes .*{cause}'):
        dataset.read_labels(sample)
