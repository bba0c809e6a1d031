"""From the labels and colours of mask files to classes, and the names, colours and labels that make no sense."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglight.data import SegmentationDataModule
from seglight.data.labels import LabelMap
from seglight.data.sources import Context
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
def test_colours_are_no_labels_to_map(tmp_path: Path, mapped: dict[str, Any]) -> None:
    path = coloured(tmp_path / 'a.png')
    assert LabelMap.of(Context(CLASSES, PALETTE)).read(path).tolist() == [[0, 1, 2]]
    with pytest.raises(DataError, match=r'a.png has RGB colours, .* reduce_zero_label and label_map .* are for labels'):
        LabelMap.of(Context(CLASSES, PALETTE), **mapped).read(path)


def test_a_colour_of_two_classes_tells_none(tmp_path: Path) -> None:
    twice = [PALETTE[0], PALETTE[1], PALETTE[1]]
    with pytest.raises(DataError, match=r'data.palette has the colour \[100, 100, 100\] twice'):
        LabelMap.of(Context(CLASSES, twice)).read(coloured(tmp_path / 'a.png'))
    Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).save(tmp_path / 'b.png')
    assert LabelMap.of(Context(CLASSES, twice)).read(tmp_path / 'b.png').tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ('ignored', 'said'),
    [
        ([[9, 9, 9], [255, 0, 0]], r'ignore_colours has \[255, 0, 0\], which is the colour of a class'),
        ([[255, 255]], r'ignore_colours: \[255, 255\] is no RGB colour'),
    ],
)
def test_an_ignored_colour_is_a_colour_and_no_classs(ignored: list[list[int]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        LabelMap.of(Context(CLASSES, PALETTE), ignore_colours=ignored)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'classes': []}, 'data.classes names 0 classes; 2 to 255 are possible'),
        ({'classes': ['object']}, r"must name what is not 'object' too: give \[background, object\]"),
        ({'classes': ['Background']}, r'give \[Background, object\]'),
        ({'classes': [str(index) for index in range(256)]}, 'data.classes names 256 classes'),
        ({'classes': ['a', 'b', 'a']}, "data.classes names 'a' twice"),
        ({'ignore_index': 1}, "data.ignore_index is 1, the label of the class 'road'; give 3 to 255; label_map"),
        ({'palette': [[0, 0, 300], *PALETTE[1:]]}, r'data.palette: \[0, 0, 300\] is no RGB colour'),
        ({'palette': [[0, 0, -1], *PALETTE[1:]]}, r'data.palette: \[0, 0, -1\] is no RGB colour'),
        ({'palette': [[0, 0], *PALETTE[1:]]}, r'data.palette: \[0, 0\] is no RGB colour'),
        ({'class_balance': float('nan')}, 'data.class_balance is 0 to 1, not nan'),
        ({'cache': float('nan')}, 'data.cache is at least 0, not nan'),
        ({'cache': float('inf')}, 'data.cache is at least 0, not inf'),
        ({'seed': -5}, 'data.seed is 0 to 4294967295, not -5'),
    ],
)
def test_data_that_make_no_sense_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SegmentationDataModule(**{'classes': CLASSES, **values})


def test_classes_as_many_as_labels_go_with_the_ignore_label() -> None:
    assert len(SegmentationDataModule([str(index) for index in range(255)]).classes) == 255
