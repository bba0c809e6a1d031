"""Paddings for traced graphs are those of mmseg, mmcv and transformers."""

from typing import Any

import pytest
import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmseg.models.utils.embed import AdaptivePadding

from seglight.exporting.tracing.paddings import convolved, pad_shape, padded_as_tensorflow

KERNELS = [(4, 4, 1), (3, 2, 1), (2, 4, 1), (3, 5, 2)]
SIZES = [(1, 1), (4, 5), (16, 15), (3, 22)]


@pytest.mark.parametrize(('kernel', 'stride', 'dilation'), KERNELS)
def test_paddings_are_mmsegs(kernel: int, stride: int, dilation: int) -> None:
    padding = AdaptivePadding(kernel, stride, dilation)
    for size in SIZES:
        assert pad_shape(padding, size) == padding.get_pad_shape(size)


@pytest.mark.parametrize(('kernel', 'stride', 'dilation'), KERNELS)
def test_convolutions_are_mmcvs(kernel: int, stride: int, dilation: int) -> None:
    torch.manual_seed(0)
    convolution = Conv2dAdaptivePadding(4, 6, kernel, stride, dilation=dilation, groups=2)
    for size in SIZES:
        image = torch.randn(2, 4, *size)
        torch.testing.assert_close(convolved(convolution, image), convolution(image))


@pytest.mark.extras
@pytest.mark.parametrize(('kernel', 'stride', 'dilation'), KERNELS)
def test_paddings_are_those_of_transformers(kernel: int, stride: int, dilation: int) -> None:
    modeling: Any = pytest.importorskip('transformers.models.mobilenet_v2.modeling_mobilenet_v2')
    convolution = torch.nn.Conv2d(4, 6, kernel, stride, dilation=dilation)
    for size in SIZES:
        image = torch.randn(2, 4, *size)
        assert torch.equal(padded_as_tensorflow(image, convolution), modeling.apply_tf_padding(image, convolution))
