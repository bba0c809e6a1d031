"""DPT's feature maps for traced graphs are those of mmseg and transformers."""

from typing import Any

import pytest
import torch
from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock, ReassembleBlocks

from seglight.exporting.tracing.dpt import fused, fused_hf, reassembled

SIZES = [(1, 1), (6, 4), (7, 5)]


@pytest.mark.parametrize('readout', ['ignore', 'add', 'project'])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_stages_are_reassembled_as_in_mmseg(size: tuple[int, int], readout: str) -> None:
    torch.manual_seed(0)
    blocks = ReassembleBlocks(4, [2, 3, 4, 5], readout).eval()
    inputs = [(torch.randn(2, 4, *size), torch.randn(2, 4)) for _ in range(4)]
    with torch.no_grad():
        for found, expected in zip(reassembled(blocks, inputs), blocks(inputs), strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_blocks_fuse_as_mmsegs(size: tuple[int, int], align_corners: bool) -> None:
    torch.manual_seed(0)
    block = FeatureFusionBlock(4, {'type': 'ReLU'}, {'type': 'BN'}, align_corners=align_corners).eval()
    one, other = torch.randn(2, 4, 6, 4), torch.randn(2, 4, *size)
    with torch.no_grad():  # mmseg's activations change their input
        torch.testing.assert_close(fused(block, one.clone(), other.clone()), block(one.clone(), other.clone()))
        torch.testing.assert_close(fused(block, one.clone()), block(one.clone()))


@pytest.mark.extras
@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_layers_fuse_as_those_of_transformers(size: tuple[int, int], align_corners: bool) -> None:
    modeling: Any = pytest.importorskip('transformers.models.dpt.modeling_dpt')
    torch.manual_seed(0)
    layer = modeling.DPTFeatureFusionLayer(modeling.DPTConfig(fusion_hidden_size=4), align_corners).eval()
    inputs = torch.randn(2, 4, 6, 4), torch.randn(2, 4, *size)
    with torch.no_grad():
        torch.testing.assert_close(fused_hf(layer, *inputs), layer(*inputs))
        torch.testing.assert_close(fused_hf(layer, inputs[1]), layer(inputs[1]))
