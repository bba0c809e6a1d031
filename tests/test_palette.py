"""Colours, indexed PNG files and overlays."""

import io
import itertools
import math

import numpy as np
import pytest
from PIL import Image

from seglight.palette import default_palette, encode_mask, overlay


def test_a_mask_is_written_with_its_labels_and_the_palette() -> None:
    mask = np.array([[0, 1], [2, 255]], dtype=np.uint8)
    palette = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    image = Image.open(io.BytesIO(encode_mask(mask, palette)))
    assert image.mode == 'P'
    assert (np.asarray(image) == mask).all()
    assert np.asarray(image.convert('RGB')).tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [255] * 3]]


def test_an_overlay_mixes_colours_and_leaves_unknown_labels_alone() -> None:
    image = np.full((1, 2, 3), 100, dtype=np.uint8)
    mixed = overlay(image, np.array([[1, 255]], dtype=np.uint8), [[0, 0, 0], [200, 0, 100]], opacity=0.25)
    assert mixed.tolist() == [[[125, 75, 100], [100, 100, 100]]]


@pytest.mark.parametrize('count', [2, 21, 60, 61, 150, 256])
def test_default_colours_differ_to_the_eye_and_do_not_depend_on_how_many_there_are(count: int) -> None:
    palette = default_palette(count)
    assert palette[0] == [0, 0, 0]
    assert palette == default_palette(256)[:count]
    assert all(0 <= channel <= 255 for colour in palette for channel in colour)
    assert min(math.dist(*pair) for pair in itertools.combinations(palette, 2)) > 20
