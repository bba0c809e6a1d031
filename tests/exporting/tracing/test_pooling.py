"""Adaptive pooling without torch's operator has its results."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglight.exporting.formats.to_onnx import to_onnx
from seglight.exporting.sizes import Padding
from seglight.exporting.tracing.pooling import adaptive_avg_pool2d
from seglight.exporting.tracing.traceable import from_one_pixel, traceable


@pytest.mark.parametrize('size', [1, 2, 3, 6, (1, 1), (2, 5), (None, 3), (4, None), [3, 6]], ids=str)
@pytest.mark.parametrize('shape', [(2, 4, 1, 1), (2, 4, 7, 5), (4, 64, 33), (1, 4, 6, 12)], ids=str)
def test_a_grid_has_the_averages_of_torch(shape: tuple[int, ...], size: Any) -> None:
    image = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(adaptive_avg_pool2d(image, size), F.adaptive_avg_pool2d(image, size))


class Pooled(nn.Module):
    """The averages over several grids of padded images, one after the other."""

    padding = Padding(divisor=16)

    def __init__(self) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.AdaptiveAvgPool2d(side) for side in (1, 2, 3, 6))

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        below, right = self.padding.side(height, 0) - height, self.padding.side(width, 1) - width
        padded = F.pad(image.float(), (0, right, 0, below))
        return torch.cat([pool(padded).flatten(2) for pool in self.pools], 2)


@pytest.mark.extras
@pytest.mark.slow
def test_onnx_pads_and_pools_images_of_other_sizes_than_the_traced() -> None:
    onnxruntime = pytest.importorskip('onnxruntime')
    traced = torch.zeros(2, 3, 131, 157, dtype=torch.uint8)
    any_length = torch.export.Dim.DYNAMIC
    pooled = Pooled()
    with traceable(pooled), from_one_pixel():
        program = torch.export.export(
            pooled, (traced,), dynamic_shapes=({0: any_length, 2: any_length, 3: any_length},)
        )
    session = onnxruntime.InferenceSession(to_onnx(program, 'logits').proto.SerializeToString())
    for shape in [(1, 3, 1, 1), (2, 3, 24, 31), (3, 3, 144, 6)]:
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        (found,) = session.run(None, {'image': image})
        height, width = (math.ceil(side / 16) * 16 for side in shape[2:])
        padded = np.zeros((*shape[:2], height, width), np.float32)
        padded[:, :, : shape[2], : shape[3]] = image
        grids = [F.adaptive_avg_pool2d(torch.from_numpy(padded), side).flatten(2) for side in (1, 2, 3, 6)]
        np.testing.assert_allclose(found, torch.cat(grids, 2).numpy(), rtol=1e-5, atol=1e-4)
