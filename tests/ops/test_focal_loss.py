"""Focal losses against torchvision's and their formula, at the limits of the dtypes, and bad input."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from seglight import compat  # noqa: F401  (first: torchvision)
from seglight.ops import sigmoid_focal_loss, softmax_focal_loss

# isort: split
from torchvision.ops import sigmoid_focal_loss as torchvision_loss

BOTH = [sigmoid_focal_loss, softmax_focal_loss]
TARGET = torch.tensor([0, 3, 1, 2, 2, 0])
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.float64)


def random_logits(scale: float = 3.0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(6, 4, dtype=torch.float64, generator=generator) * scale).requires_grad_()


def formula(logits: Tensor, gamma: float, alpha: float) -> Tensor:
    """Equation (5) of the paper for a softmax."""
    p = logits.softmax(dim=1)[torch.arange(6), TARGET]
    return -alpha * (1 - p) ** gamma * p.log()


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.3), (0.5, 0.9)])
def test_sigmoid_is_torchvisions(gamma: float, alpha: float, reduction: str) -> None:
    logits, again = random_logits(), random_logits()
    loss = sigmoid_focal_loss(logits, TARGET, gamma, alpha, None, reduction)
    expected = torchvision_loss(again, functional.one_hot(TARGET, 4).double(), alpha, gamma)
    expected = expected if reduction == 'none' else expected.sum() / (6 if reduction == 'mean' else 1)
    torch.testing.assert_close(loss, expected)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(logits.grad, again.grad)


@pytest.mark.parametrize(('gamma', 'alpha'), [(2.0, 0.25), (0.0, 0.3), (0.5, 0.9)])
def test_softmax_is_the_papers_formula(gamma: float, alpha: float) -> None:
    loss = softmax_focal_loss(random_logits(), TARGET, gamma, alpha, None, 'none')
    torch.testing.assert_close(loss, formula(random_logits(), gamma, alpha))


@pytest.mark.parametrize('loss', BOTH)
def test_weights_are_of_the_samples_class_and_gradients_those_of_differences(loss: Callable[..., Tensor]) -> None:
    plain, weighted = (loss(random_logits(), TARGET, 2.0, 0.3, weight, 'none') for weight in (None, WEIGHT))
    factor = WEIGHT[TARGET].reshape(-1, *[1] * (plain.dim() - 1))
    torch.testing.assert_close(weighted, plain * factor)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, TARGET, 1.5, 0.3, WEIGHT), [random_logits()])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('loss', BOTH)
def test_certain_predictions_have_finite_losses_and_gradients(
    loss: Callable[..., Tensor], gamma: float, dtype: torch.dtype
) -> None:
    logits = torch.tensor([[1e4, -1e4, 0.0], [-1e4, 1e4, 50.0]], dtype=dtype, requires_grad=True)
    result = loss(logits, torch.tensor([0, 0]), gamma, 0.5)
    result.backward()
    assert result.dtype == dtype
    assert result.isfinite() and logits.grad is not None and logits.grad.isfinite().all()


def test_samples_of_no_class_are_background_and_cost_a_softmax_nothing() -> None:
    logits = random_logits()[:1]
    none = sigmoid_focal_loss(logits, torch.tensor([-1]), 2.0, 0.25, None, 'none')
    torch.testing.assert_close(none, torchvision_loss(logits, torch.zeros(1, 4).double(), 0.25, 2.0))
    assert softmax_focal_loss(logits, torch.tensor([-1])) == 0


@pytest.mark.parametrize('loss', BOTH)
def test_torch_compile_takes_it_as_one_graph(loss: Callable[..., Tensor]) -> None:
    compiled: Any = torch.compile(loss, fullgraph=True, backend='aot_eager')
    torch.testing.assert_close(compiled(random_logits(), TARGET), loss(random_logits(), TARGET))


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'target': TARGET[:5]}, r'must have the shapes \[N, C\] and \[N\], got \[6, 4\] and \[5\]'),
        ({'target': TARGET.int()}, 'target must be of dtype torch.int64, got torch.int32'),
        ({'weight': WEIGHT[:3]}, r'weight must have the shape \[4\], got \[3\]'),
        ({'reduction': 'avg'}, "reduction must be 'none', 'mean' or 'sum', got 'avg'"),
    ],
)
@pytest.mark.parametrize('loss', BOTH)
def test_bad_input_is_named(loss: Callable[..., Tensor], changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loss(**{'logits': random_logits(), 'target': TARGET, **changed})
