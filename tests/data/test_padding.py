"""Padding in pipelines."""

from typing import Any

import pytest

from seglight.data.padding import ends_with_padding, padding_label
from seglight.data.transforms import build_pipeline


def test_the_label_of_padding_is_neither_a_class_nor_ignored() -> None:
    assert padding_label(11, 255) == 254
    assert padding_label(255, 255) == 255  # every other label is a class
    assert padding_label(11, 254) == 255


@pytest.mark.parametrize(
    ('specs', 'expected'),
    [
        ([], False),
        ([{'type': 'Resize', 'height': 8, 'width': 8}], False),
        ([{'type': 'PadTo', 'size_divisor': 32}], True),
        ([{'type': 'PadTo', 'size_divisor': 32}, {'type': 'Resize', 'height': 8, 'width': 8}], False),
    ],
)
def test_padding_at_the_end_of_a_pipeline_is_found(specs: list[dict[str, Any]], expected: bool) -> None:
    pipeline = build_pipeline(specs, 'data.val_transforms', 255, ['a', 'b'], evaluation=True)
    assert ends_with_padding(pipeline) == expected
