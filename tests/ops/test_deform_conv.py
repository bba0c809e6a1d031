"""Deformable convolutions against torchvision's operator and a plain convolution, and bad input."""

from typing import Any

import pytest
import torch
from ops.compiled import GEOMETRY, inputs, values_and_gradients, waves
from torch import Tensor
from torch.nn import functional

from seglight import compat  # noqa: F401  (first: torchvision)
from seglight.ops import deform_conv2d, modulated_deform_conv2d

# isort: split
from torchvision import ops as torchvision_ops


@pytest.mark.skipif(
    not hasattr(torch.ops.torchvision, 'deform_conv2d'), reason='torchvision was built for another torch'
)
def test_it_is_torchvisions() -> None:
    def torchvisions(features: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor) -> Any:
        return torchvision_ops.deform_conv2d(features, offset, weight, bias, *GEOMETRY[:3], mask)

    tensors = inputs()['modulated_deform_conv2d']
    results = values_and_gradients(modulated_deform_conv2d, tensors, *GEOMETRY)
    for result, expected in zip(results, values_and_gradients(torchvisions, tensors), strict=True):
        torch.testing.assert_close(result, expected)


def test_without_offsets_it_is_a_convolution() -> None:
    features, weight = waves(2, 4, 6, 5), waves(4, 2, 3, 3, step=0.7)
    expected = functional.conv2d(features, weight, stride=2, padding=1, groups=2)
    result = deform_conv2d(features, torch.zeros(2, 18, *expected.shape[2:]).double(), weight, 2, 1, 1, 2, 1)
    torch.testing.assert_close(result, expected)


def test_under_autocast_the_result_has_the_offsets_dtype() -> None:
    features, weight = waves(1, 2, 4, 4).float(), waves(3, 2, 3, 3).float()
    with torch.autocast('cpu', torch.bfloat16):
        result = deform_conv2d(features, torch.zeros(1, 18, 4, 4, dtype=torch.bfloat16), weight, 1, 1)
    assert result.dtype == torch.bfloat16
    expected = functional.conv2d(features, weight, padding=1)
    torch.testing.assert_close(result.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize('far', [torch.nan, torch.inf, -torch.inf, 1e30])
def test_offsets_that_lead_nowhere_sample_zeros(far: float) -> None:
    features, weight = waves(1, 1, 3, 3), waves(1, 1, 1, 1)
    results = values_and_gradients(deform_conv2d, [features, torch.full((1, 2, 3, 3), far).double(), weight + 1])
    assert all(torch.equal(result, torch.zeros_like(result)) for result in results)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'offset': waves(2, 16, 3, 4)}, r'offset must have the shape \[2, 16, 3, 3\], got \[2, 16, 3, 4\]'),
        ({'mask': waves(2, 4, 3, 3)}, r'mask must have the shape \[2, 8, 3, 3\], got \[2, 4, 3, 3\]'),
        ({'weight': waves(2, 4, 2, 2)}, r'weight must have the shape \[2, 2, 2, 2\], got \[2, 4, 2, 2\]'),
        ({'features': waves(2, 4, 4, 2)}, 'the input is too small: the result would have 3x0 pixels'),
    ],
)
def test_bad_input_is_named(changed: dict[str, Tensor], message: str) -> None:
    names = ('features', 'offset', 'mask', 'weight', 'bias')
    arguments: list[Any] = [
        *(dict(zip(names, inputs()['modulated_deform_conv2d'], strict=True)) | changed).values(),
        *GEOMETRY,
    ]
    with pytest.raises(ValueError, match=message):
        modulated_deform_conv2d(*arguments)
