"""Channels-last features: by default where a CPU is faster with them, and safe behind frozen layers."""

import copy
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch
from mmseg.models.builder import HEADS
from mmseg.models.decode_heads import FCNHead
from torch import Tensor, nn

from seglight.models import Segmentor
from seglight.models.memory_format import set_memory_format

CLASSES = [str(index) for index in range(11)]


def is_channels_last(module: Segmentor) -> bool:
    weights = [value for value in module.parameters() if value.ndim == 4 and min(value.shape[1:]) > 1]
    found = {value.is_contiguous(memory_format=torch.channels_last) for value in weights}
    assert found == {module.channels_last}
    return found.pop()


def with_backbone(**backbone: Any) -> dict[str, Any]:
    return {**copy.deepcopy(TINY_SEGMENTOR), 'backbone': backbone, 'auxiliary_head': None}


@pytest.mark.parametrize(('asked', 'gpu', 'expected'), [(None, False, True), (None, True, False), (True, True, True)])
def test_features_are_channels_last_where_there_is_no_gpu(
    asked: bool | None, gpu: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('torch.accelerator.is_available', lambda: gpu)
    assert is_channels_last(Segmentor(TINY_SEGMENTOR, CLASSES, channels_last=asked)) is expected


def test_the_losses_are_those_of_contiguous_features() -> None:
    batch = random_batch(2, 64)
    modules = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        modules.append(Segmentor(TINY_SEGMENTOR, CLASSES, channels_last=channels_last))
    losses = []
    for module in modules:
        torch.manual_seed(0)  # for dropout
        losses.append(module.losses(batch))
    for name, value in losses[0].items():
        torch.testing.assert_close(losses[1][name], value)
    with torch.no_grad():
        masks = [module.eval().predict(batch)[0].mask for module in modules]
    assert (masks[0] == masks[1]).float().mean() > 0.999


@HEADS.register_module(force=True)
class OwnHead(FCNHead):  # type: ignore[misc]  # mmseg has no types
    """A head of another package."""


def test_models_that_are_slower_or_unknown_stay_contiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.accelerator.is_available', lambda: False)
    own = copy.deepcopy(TINY_SEGMENTOR)
    own['decode_head']['type'] = 'OwnHead'
    stem = {'depth': 50, 'stem_channels': 4, 'base_channels': 4, 'num_stages': 1, 'out_indices': (0,)}
    resnest = with_backbone(type='ResNeSt', strides=(1,), dilations=(1,), **stem)
    resnest['decode_head'].update(in_index=0, in_channels=16)
    standardized = copy.deepcopy(TINY_SEGMENTOR)
    standardized['decode_head']['conv_cfg'] = {'type': 'ConvWS'}  # flattens its weights
    for model in (own, resnest, standardized):
        assert not is_channels_last(Segmentor(model, CLASSES))
        assert is_channels_last(Segmentor(model, CLASSES, channels_last=True))


class OwnSegmentor(Segmentor):
    """A subclass, whose own layers may flatten features."""


def test_subclasses_and_optimizers_that_flatten_weights_stay_contiguous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.accelerator.is_available', lambda: False)
    assert not is_channels_last(OwnSegmentor(TINY_SEGMENTOR, CLASSES))
    assert is_channels_last(OwnSegmentor(TINY_SEGMENTOR, CLASSES, channels_last=True))
    for kind in ('LBFGS', 'torch.optim.AdamW'):
        assert not is_channels_last(Segmentor(TINY_SEGMENTOR, CLASSES, optimizer={'type': kind, 'lr': 0.1}))


def test_a_group_norm_behind_frozen_layers_gets_contiguous_features() -> None:
    torch.manual_seed(0)
    parts = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 2, 3))
    parts[0].requires_grad_(False)
    image = torch.randn(2, 3, 16, 16)
    parts(image).sum().backward()
    expected = {name: value.grad for name, value in parts.named_parameters()}
    parts.zero_grad()
    assert set_memory_format(parts, True)
    seen: list[Tensor] = []
    parts[1].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    loss = parts(image.contiguous(memory_format=torch.channels_last)).sum()
    assert seen[0].is_contiguous()  # otherwise torch 2.13 ends the process in the next line
    loss.backward()
    for name, value in parts.named_parameters():
        torch.testing.assert_close(value.grad, expected[name])
