"""Inputs of operators, and the results of mmcv-full 1.7.2 with compiled operators.

`compiled.json` was written by `python tests/ops/compiled.py` where such an mmcv-full was installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

STORED = Path(__file__).with_name('compiled.json')
#: Strides, paddings, dilations, groups and groups of offsets.
GEOMETRY: tuple[Any, ...] = ((2, 1), (1, 0), (1, 2), 2, 2)


def waves(*shape: int, step: float = 1.0) -> Tensor:
    """Return float64 values from -1 to 1 that look random and are the same everywhere."""
    count = int(torch.Size(shape).numel())
    return torch.sin(torch.arange(count, dtype=torch.float64).square() * step).reshape(shape)


def inputs() -> dict[str, list[Tensor]]:
    """Return the tensors of each case. Zero offsets have taps at exactly -1, where the slope is one-sided."""
    features, weight, bias = waves(2, 4, 4, 5), waves(2, 2, 2, 2, step=0.7), waves(2)
    offset, mask = waves(2, 16, 3, 3, step=0.3), waves(2, 8, 3, 3, step=0.2).abs()
    return {
        'psa_mask collect': [waves(2, 15, 2, 3)],
        'psa_mask distribute': [waves(2, 15, 2, 3)],
        'deform_conv2d': [features, 2 * offset, weight],
        'deform_conv2d undeformed': [features, 0 * offset, weight],
        'modulated_deform_conv2d': [features, 2 * offset, mask, weight, bias],
    }


def values_and_gradients(function: Callable[..., Tensor], tensors: list[Tensor], *arguments: Any) -> list[Tensor]:
    """Return the result, and the gradient of a weighted sum of it with respect to each tensor."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    result = function(*leaves, *arguments)
    (result * waves(*result.shape, step=0.9).to(result.dtype)).sum().backward()
    return [result.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def arguments(case: str) -> tuple[Any, ...]:
    """Return what follows the tensors in a call."""
    return {'psa_mask collect': (0, (3, 5)), 'psa_mask distribute': (1, (3, 5))}.get(case, GEOMETRY)


def stored(case: str) -> list[Tensor]:
    """Return what the compiled operator made of a case."""
    entries = json.loads(STORED.read_text())[case]
    return [torch.tensor(entry['values'], dtype=torch.float64).reshape(entry['shape']) for entry in entries]


def main() -> None:
    """Write `compiled.json`."""
    from seglight import compat  # noqa: F401

    # isort: split
    from mmcv.ops import deform_conv, modulated_deform_conv, psa_mask

    functions = {
        'psa_mask': psa_mask.psa_mask,
        'deform_conv2d': deform_conv.deform_conv2d,
        'modulated_deform_conv2d': modulated_deform_conv.modulated_deform_conv2d,
    }
    assert all(function.__name__ == 'apply' for function in functions.values()), 'the operators are not compiled'
    results = {
        case: [
            {'shape': list(result.shape), 'values': [float(f'{value:.10g}') for value in result.flatten().tolist()]}
            for result in values_and_gradients(functions[case.split()[0]], tensors, *arguments(case))
        ]
        for case, tensors in inputs().items()
    }
    STORED.write_text(json.dumps(results) + '\n')


if __name__ == '__main__':
    main()
