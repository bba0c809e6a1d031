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


@pytest.mark.parametrize('size', [(1, 1), (33, 70), (200, 3)])
@pytest.mark.parametrize('colours', [0, 2, 256])
def test_pillow_reads_the_mask_and_its_palette(size: tuple[int, int], colours: int) -> None:
    rng = np.random.default_rng(colours)
    mask = rng.integers(0, 256, size, dtype=np.uint8)
    palette = rng.integers(0, 256, (colours, 3)).tolist()
    png = encode_mask(mask[:, ::-1], palette)
    with Image.open(io.BytesIO(png)) as image:
        image.verify()  # the checksums
    image = Image.open(io.BytesIO(png))
    assert (np.asarray(image) == mask[:, ::-1]).all()
    assert image.getpalette() == [channel for colour in palette for channel in colour] + [255] * 3 * (256 - colours)


@pytest.mark.parametrize('opacity', [0.0, 0.25, 0.5, 0.77, 1.0])
def test_overlays_are_the_weighted_sum_rounded_down(opacity: float) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    mask = rng.integers(0, 14, (40, 50), dtype=np.uint8)
    palette = default_palette(12)
    colours = np.asarray(palette, dtype=np.float32)[np.where(mask < 12, mask, 0)]
    mixed = image * (1 - opacity) + colours * opacity
    expected = np.where((mask < 12)[..., None], mixed, image).astype(np.uint8)
    assert (overlay(image, mask, palette, opacity) == expected).all()


@pytest.mark.parametrize('count', [2, 21, 60, 61, 150, 256])
def test_default_colours_differ_to_the_eye_and_do_not_depend_on_how_many_there_are(count: int) -> None:
    palette = default_palette(count)
    assert palette[0] == [0, 0, 0]
    assert palette == default_palette(256)[:count]
    assert all(0 <= channel <= 255 for colour in palette for channel in colour)
    assert min(math.dist(*pair) for pair in itertools.combinations(palette, 2)) > 20
