"""Position embeddings for traced graphs are mmseg's."""

import pytest
import torch
from mmseg.models.backbones import VisionTransformer

from seglight.exporting.tracing.positions import positioned


@pytest.mark.parametrize('mode', ['bicubic', 'bilinear'])
@pytest.mark.parametrize('size', [(1, 1), (3, 4), (4, 3), (2, 6), (5, 9)], ids=str)
def test_embeddings_are_resized_as_in_mmseg(size: tuple[int, int], mode: str) -> None:
    torch.manual_seed(0)
    # Its grid is 3x4, which has as many patches as 4x3 and 2x6.
    backbone = VisionTransformer((48, 64), embed_dims=8, num_layers=1, num_heads=2, interpolate_mode=mode)
    embeddings = torch.randn(1, 13, 8)
    tokens = torch.randn(2, 1 + size[0] * size[1], 8)
    torch.testing.assert_close(
        positioned(backbone, tokens, size, embeddings), backbone._pos_embeding(tokens, size, embeddings)
    )
