"""The operators equal mmcv's compiled ones, in values and gradients, in every dtype and compiled."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ops.compiled import arguments, inputs, stored, values_and_gradients
from torch import Tensor

from seglight import ops

CASES = list(inputs())


def function(case: str) -> Callable[..., Tensor]:
    found: Callable[..., Tensor] = getattr(ops, case.split()[0])
    return found


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_those_of_the_compiled_operator(case: str) -> None:
    results = values_and_gradients(function(case), inputs()[case], *arguments(case))
    for result, expected in zip(results, stored(case), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float16, 1e-2), (torch.bfloat16, 8e-2)])
@pytest.mark.parametrize('case', CASES)
def test_other_dtypes_are_kept_and_as_exact_as_they_can_be(case: str, dtype: torch.dtype, tolerance: float) -> None:
    exact = [tensor.to(dtype).double() for tensor in inputs()[case]]
    results = values_and_gradients(function(case), [tensor.to(dtype) for tensor in exact], *arguments(case))
    expected = values_and_gradients(function(case), exact, *arguments(case))
    for result, reference in zip(results, expected, strict=True):
        assert result.dtype == dtype
        torch.testing.assert_close(result.double(), reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize('case', CASES)
def test_torch_compile_takes_them_as_one_graph(case: str) -> None:
    compiled: Any = torch.compile(function(case), fullgraph=True, backend='aot_eager')
    results = values_and_gradients(compiled, inputs()[case], *arguments(case))
    for result, expected in zip(results, stored(case), strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize('case', CASES)
def test_the_meta_device_has_shapes(case: str) -> None:
    result = function(case)(*(tensor.to('meta') for tensor in inputs()[case]), *arguments(case))
    assert (result.device.type, result.shape) == ('meta', stored(case)[0].shape)


@pytest.mark.parametrize('case', [case for case in CASES if 'undeformed' not in case])  # that one has kinks
def test_gradients_are_those_of_finite_differences(case: str) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs()[case]]
    assert torch.autograd.gradcheck(lambda *tensors: function(case)(*tensors, *arguments(case)), leaves, fast_mode=True)
