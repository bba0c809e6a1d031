"""MobileViT's patches for traced graphs are those of transformers."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from seglight.exporting.tracing.patches import unfolded


@pytest.mark.extras
@pytest.mark.parametrize('size', [(1, 1), (4, 6), (5, 9)], ids=str)
@pytest.mark.parametrize('patch', [(2, 2), (3, 2)], ids=str)
def test_patches_are_those_of_transformers(patch: tuple[int, int], size: tuple[int, int]) -> None:
    layer: Any = pytest.importorskip('transformers.models.mobilevit.modeling_mobilevit').MobileViTLayer
    options: Any = SimpleNamespace(patch_height=patch[0], patch_width=patch[1])
    image = torch.randn(2, 3, *size)
    (found, places), (expected, expected_places) = unfolded(options, image), layer.unfolding(options, image)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(layer.folding(options, found, places), layer.folding(options, expected, expected_places))
