"""Finding what waits for the device, and how often each loss does."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import waits
from mmseg.models.builder import build_loss
from torch import Tensor
from torch.nn import functional as F

import seglight.models.losses  # noqa: F401  (registers mmseg's losses again)

#: Each way to wait, for an integer tensor of the device, and the operation that shows it.
WAYS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    'a number': (lambda x: x.sum().item(), '_local_scalar_dense'),
    'an if': (lambda x: bool((x > 0).any()), '_local_scalar_dense'),
    'a float': (lambda x: f'{x.max():.1f}', '_local_scalar_dense'),
    'a selection': (lambda x: x[x > 0], 'index'),
    'a mask': (lambda x: x.masked_select(x > 0), 'masked_select'),
    'places': (lambda x: x.nonzero(), 'nonzero'),
    'a write by a mask': (lambda x: x.clone().__setitem__(x > 3, x[:2]), 'index_put_'),
    'values': (lambda x: x.unique(), '_unique2'),
    'counts': (lambda x: x.bincount(), 'bincount'),
    'equality': (lambda x: torch.equal(x, x + 1), 'equal'),
    'a list': (lambda x: x.tolist(), 'tolist'),
    'an array': (lambda x: (x + 1).numpy(), 'numpy'),
    'a copy': (lambda x: x.float().cpu(), 'cpu'),
    'a move': (lambda x: x.to('cpu'), 'to'),
    'an upload': (lambda x: x.new_tensor([1, 2]), 'new_tensor'),
    'an upload to a device': (lambda x: torch.tensor([1, 2], device=x.device) + x[:2], 'tensor'),
}


@pytest.mark.parametrize('way', WAYS)
def test_each_way_to_wait_is_found_with_its_caller(way: str) -> None:
    call, operation = WAYS[way]
    counter = waits.Waits()
    tensor = torch.arange(6)
    counter.mark({'batch': [tensor]})
    with counter:
        call(tensor.view(6))
    (found,) = counter.found
    assert found.operation == operation
    assert 'test_waits.py:' in found.caller


def test_what_does_not_wait_is_not_counted() -> None:
    counter = waits.Waits()
    tensor = torch.arange(6)
    counter.mark(tensor)
    with counter:
        assert torch.arange(3).sum().item() == 3  # the host's own
        changed = tensor.clone()
        changed[tensor > 3] = 0
        F.one_hot(tensor, 6)  # reads the labels on a CPU only
        tensor.where(tensor > 2, 1).float().mean()
    assert counter.found == []
    tensor.sum().item()
    assert counter.found == []


def test_a_wait_in_a_backward_pass_is_found() -> None:
    class Reading(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, value: Tensor) -> Tensor:
            return value * 2

        @staticmethod
        def backward(_: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * float(gradients[0].sum())

    counter = waits.Waits()
    weight = torch.ones(3, requires_grad=True)
    counter.mark(weight)
    with counter:
        Reading.apply(weight).sum().backward()  # type: ignore[no-untyped-call]
    assert [each.operation for each in counter.found] == ['_local_scalar_dense']


class PlainLoss(torch.nn.Module):
    """A loss of another library, without `ignore_index`."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return (logits.logsumexp(1) - logits.gather(1, labels[:, None])[:, 0]).mean()


#: Losses, and how often each waits in a step; the table in docs/explanation/gpu.md.
LOSSES: list[tuple[dict[str, Any], int]] = [
    ({'type': 'CrossEntropyLoss'}, 0),
    ({'type': 'CrossEntropyLoss', 'class_weight': [1.0, 2.0, 3.0]}, 0),
    ({'type': 'CrossEntropyLoss', 'avg_non_ignore': True}, 0),
    ({'type': 'CrossEntropyLoss', 'use_sigmoid': True}, 0),
    ({'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'avg_non_ignore': True, 'class_weight': [1.0, 2.0, 3.0]}, 0),
    ({'type': 'LovaszLoss', 'reduction': 'none', 'classes': 'all', 'class_weight': [1.0, 2.0, 3.0]}, 0),
    ({'type': 'LovaszLoss', 'reduction': 'none'}, 1),
    ({'type': 'LovaszLoss', 'per_image': True}, 1),
    ({'type': 'MaskedDiceLoss', 'class_weight': [1.0, 2.0, 3.0]}, 0),
    ({'type': 'TverskyLoss'}, 0),
    ({'type': 'TverskyLoss', 'class_weight': [1.0, 2.0, 3.0]}, 1),
    ({'type': 'DiceLoss', 'class_weight': [1.0, 2.0, 3.0]}, 1),
    ({'type': 'FocalLoss'}, 1),
    ({'type': 'FocalLoss', 'class_weight': [1.0, 2.0, 3.0]}, 2),
    ({'type': 'ClassPathLoss', 'loss': {'class_path': 'torch.nn.CrossEntropyLoss'}}, 0),
    ({'type': 'ClassPathLoss', 'loss': {'class_path': 'torch.nn.modules.loss.PlainLoss'}}, 4),
]


@pytest.mark.parametrize(('loss', 'expected'), LOSSES)
def test_a_loss_waits_no_more_often_than_the_table_says(
    loss: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.nn.modules.loss, 'PlainLoss', PlainLoss, raising=False)
    monkeypatch.setattr(PlainLoss, '__module__', 'torch.nn.modules.loss')
    module = build_loss(loss)
    logits, labels = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randint(0, 3, (2, 8, 8))
    labels[:, :2] = 255
    counter = waits.Waits()
    counter.mark([logits, labels, *module.buffers()])
    with counter:
        module(logits, labels, ignore_index=255).mean().backward()
    assert len(counter.found) == expected, counter.found
