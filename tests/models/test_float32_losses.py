"""Losses under autocast: finite, and those of float32 for the same logits."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR

from seglight.models.float32_losses import keep_losses_in_float32
from seglight.models.recipe import Recipe

LOSSES: list[dict[str, Any]] = [
    {'type': 'CrossEntropyLoss'},
    {'type': 'CrossEntropyLoss', 'class_weight': [1.0, 2.0, 0.5, 1.0, 3.0]},
    {'type': 'CrossEntropyLoss', 'use_sigmoid': True},
    {'type': 'FocalLoss'},
    {'type': 'LovaszLoss', 'reduction': 'none'},
    {'type': 'LovaszLoss', 'per_image': True},
    {'type': 'DiceLoss'},
    {'type': 'TverskyLoss'},
    {'type': 'MaskedDiceLoss'},
    {'type': 'torch.nn.CrossEntropyLoss', 'label_smoothing': 0.1},
]

LOW = [torch.bfloat16, torch.float16]


def head(loss: dict[str, Any], **more: Any) -> Any:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head'].update(loss_decode=loss, **more)
    segmentor = Recipe(model).for_data(5, 255).build()
    keep_losses_in_float32(segmentor)
    return segmentor.decode_head


def labels(seed: int = 0) -> torch.Tensor:
    made = torch.randint(0, 5, (2, 1, 64, 64), generator=torch.Generator().manual_seed(seed))
    made[:, :, :3] = 255
    return made


def value(losses: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([item.mean() for name, item in losses.items() if 'loss' in name]).sum()


@pytest.mark.parametrize('dtype', LOW, ids=str)
@pytest.mark.parametrize('scale', [1.0, 300.0])
@pytest.mark.parametrize('loss', LOSSES, ids=lambda loss: ' '.join(map(str, loss.values())))
def test_a_loss_and_its_gradient_are_those_of_float32(loss: dict[str, Any], scale: float, dtype: torch.dtype) -> None:
    one, target = head(loss), labels()
    logits = (torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(1)) * scale).to(dtype).requires_grad_()
    single = logits.detach().float().requires_grad_()
    expected = value(type(one).losses(one, single, target))
    with torch.autocast('cpu', dtype):
        done = value(one.losses(logits, target))
    assert done.dtype == torch.float32
    assert torch.isfinite(done)
    torch.testing.assert_close(done, expected)
    (gradient,) = torch.autograd.grad(done, logits)
    (right,) = torch.autograd.grad(expected, single)
    torch.testing.assert_close(gradient, right.to(dtype))


@pytest.mark.parametrize('dtype', LOW, ids=str)
def test_without_it_the_gradient_of_a_logit_loses_its_pixels(dtype: torch.dtype) -> None:
    """Show the reason: one logit stands for 64x64 pixels, as in an auxiliary head at stride 64."""
    one, target = head({'type': 'CrossEntropyLoss'}), labels()
    logits = torch.randn(2, 5, 1, 1, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_()
    single = logits.detach().float().requires_grad_()
    (right,) = torch.autograd.grad(value(type(one).losses(one, single, target)), single)
    errors = []
    for losses in (one.losses, lambda *inputs: type(one).losses(one, *inputs)):
        (gradient,) = torch.autograd.grad(value(losses(logits, target)), logits)
        errors.append(float((gradient.float() - right).abs().max() / right.abs().max()))
    assert errors[0] < torch.finfo(dtype).eps
    assert errors[0] < errors[1]


def test_hard_pixels_are_chosen_in_float32() -> None:
    one, target = head({'type': 'CrossEntropyLoss'}, sampler={'type': 'OHEMPixelSampler', 'min_kept': 500}), labels()
    logits = torch.randn(2, 5, 8, 8).bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        done = value(one.losses(logits, target))
    torch.testing.assert_close(done, value(type(one).losses(one, logits.float(), target)))


def test_heads_of_several_logits_are_covered() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head'].pop('num_convs')
    model['decode_head'].update(type='EncHead', in_channels=[16, 32, 64], in_index=[1, 2, 3], num_codes=4, use_se_loss=True,
                                loss_se_decode={'type': 'CrossEntropyLoss', 'use_sigmoid': True, 'loss_weight': 0.2})  # fmt: skip
    segmentor = Recipe(model).for_data(5, 255).build()
    keep_losses_in_float32(segmentor)
    segmentor.train()
    with torch.autocast('cpu', torch.bfloat16):
        losses = segmentor.forward_train(torch.randn(2, 3, 64, 64), [{}] * 2, labels())
    assert {name: item.dtype for name, item in losses.items() if 'loss' in name} == {
        'decode.loss_ce': torch.float32, 'decode.loss_se': torch.float32, 'aux.loss_ce': torch.float32,
    }  # fmt: skip


def test_class_weights_follow_where_all_weights_have_16_bits() -> None:
    one = head({'type': 'torch.nn.CrossEntropyLoss', 'class_weight': [1.0, 2.0, 0.5, 1.0, 4.0]})
    logits = torch.randn(2, 5, 8, 8)
    expected = value(one.losses(logits.bfloat16().float(), labels()))
    torch.testing.assert_close(value(one.to(torch.bfloat16).losses(logits.bfloat16(), labels())), expected)


def test_a_copy_of_a_segmentor_uses_its_own_heads() -> None:
    one = head({'type': 'CrossEntropyLoss'})
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        other.ignore_index = 0
        assert other.losses.args[0] is other
        assert value(other.losses(torch.zeros(1, 5, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.long))) == 0
    assert [*head({'type': 'CrossEntropyLoss'}).state_dict()] == [*one.state_dict()]


def test_the_whole_step_under_autocast_is_near_float32() -> None:
    segmentor: Any = Recipe(TINY_SEGMENTOR).for_data(5, 255).build()
    keep_losses_in_float32(segmentor)
    segmentor.train()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    expected = segmentor.forward_train(image, [{}] * 2, labels())
    for dtype in LOW:
        with torch.autocast('cpu', dtype):
            done = segmentor.forward_train(image, [{}] * 2, labels())
        for name in ('decode.loss_ce', 'aux.loss_ce'):
            torch.testing.assert_close(done[name], expected[name], rtol=0.03, atol=0)
