"""The rule of padding that a graph contains is that of predictions without a graph."""

from typing import Any

import pytest
from conftest import TINY_SEGMENTOR
from models.test_fitting import BEIT, LRASPP, UNET, built

from seglight.exporting.sizes import Padding, padding_of


@pytest.mark.parametrize(
    ('model', 'expected', 'sizes'),
    [
        (TINY_SEGMENTOR, Padding(), {(97, 131): (97, 131), (1, 500): (1, 500)}),
        (UNET, Padding(divisor=16, minimum=16), {(97, 131): (112, 144), (1, 500): (16, 512), (96, 128): (96, 128)}),
        (BEIT, Padding(fixed=(64, 96)), {(33, 50): (64, 96), (64, 96): (64, 96)}),
        (LRASPP, Padding(minimum=400), {(97, 401): (400, 401)}),
    ],
)
def test_sides_are_padded_as_in_predictions(
    model: dict[str, Any], expected: Padding, sizes: dict[tuple[int, int], tuple[int, int]]
) -> None:
    padding = padding_of(built(model))
    assert padding == expected
    for (height, width), needed in sizes.items():
        assert (padding.side(height, 0), padding.side(width, 1)) == needed
