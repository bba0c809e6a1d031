"""seglight's operators on the device against float64 on the CPU, with their gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from gpu.attempts import attempt
from gpu.lab import Lab, float32
from gpu.results import RIGHT, Row
from gpu.sections.errors import relative_error
from seglight.ops import deform_conv2d, modulated_deform_conv2d, psa_mask, sigmoid_focal_loss, softmax_focal_loss

#: Maximum relative error: inputs are rounded before both computations, so only the results are.
TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}


class Case(NamedTuple):
    """An operator and its floating-point inputs."""

    function: Callable[..., Tensor]
    inputs: list[Tensor]


def ops(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each operator and dtype."""
    del argument
    for name, case in cases().items():
        for dtype in TOLERANCES:
            row: Row = {'operator': name, 'dtype': str(dtype).removeprefix('torch.')}
            yield from attempt(row, partial(_rows, lab, row, case, dtype))


def _rows(lab: Lab, row: Row, case: Case, dtype: torch.dtype) -> Iterator[Row]:
    rounded = [each.to(dtype) for each in case.inputs]
    with float32(precise=True):
        truth = with_gradients(case.function, [each.double() for each in rounded])
        found = with_gradients(case.function, [each.to(lab.device) for each in rounded])
    forward = relative_error(found[:1], truth[:1])
    backward = max(relative_error([a], [b]) for a, b in zip(found[1:], truth[1:], strict=True))
    right = max(forward, backward) <= TOLERANCES[dtype]
    yield {**row, 'error': forward, 'gradients, error': backward, RIGHT: right}


def cases() -> dict[str, Case]:
    """Return the operators, with inputs that are the same in every call."""
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    def offsets(*shape: int) -> Tensor:  # away from whole pixels, where gradients jump
        whole = torch.randint(-3, 3, shape, generator=generator)
        return whole + 0.25 + 0.5 * torch.rand(shape, generator=generator)

    labels = torch.randint(0, 7, (64,), generator=generator)
    features, weight = noise(2, 8, 13, 11), noise(6, 4, 3, 3)
    v1, v2 = offsets(2, 36, 13, 11), [offsets(2, 36, 13, 11), noise(2, 18, 13, 11).sigmoid()]
    return {
        'psa_mask, collect': Case(lambda x: psa_mask(x, 0, (9, 7)), [noise(2, 63, 5, 4)]),
        'psa_mask, distribute': Case(lambda x: psa_mask(x, 1, (9, 7)), [noise(2, 63, 5, 4)]),
        'sigmoid_focal_loss': Case(lambda x: sigmoid_focal_loss(x, labels.to(x.device)), [noise(64, 7)]),
        'softmax_focal_loss': Case(lambda x: softmax_focal_loss(x, labels.to(x.device)), [noise(64, 7)]),
        'deform_conv2d': Case(
            lambda x, moves, kernel: deform_conv2d(x, moves, kernel, padding=1, groups=2, deform_groups=2),
            [features, v1, weight],
        ),
        'modulated_deform_conv2d': Case(
            lambda x, moves, mask, kernel, bias: modulated_deform_conv2d(
                x, moves, mask, kernel, bias, padding=1, groups=2, deform_groups=2
            ),
            [features, *v2, weight, noise(6)],
        ),
    }


def with_gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return the result, and the gradients of a weighted sum of it with respect to all inputs."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    result = function(*leaves)
    factors = torch.linspace(-1, 2, result.numel(), dtype=torch.float64).view(result.shape).to(result)
    return [result, *torch.autograd.grad(result, leaves, factors)]
