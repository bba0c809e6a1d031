"""Heads that do less work, beside mmseg's own in float64."""

import copy
from typing import Any

import pytest
import torch
from mmseg.models import build_head
from torch import nn

from seglight.models.faster import EarlyFusionSegformerHead, make_faster

CHANNELS = [4, 6, 8, 10]
SIZES = {'powers of two': [(16, 24), (8, 12), (4, 6), (2, 3)], 'odd': [(13, 21), (7, 11), (4, 6), (2, 3)]}


def head(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    settings = {'in_channels': CHANNELS, 'in_index': [0, 1, 2, 3], 'channels': 8, 'num_classes': 5, 'dropout_ratio': 0}
    built: nn.Module = build_head({'type': 'SegformerHead', 'norm_cfg': {'type': 'BN'}, **settings, **options}).double()
    for name, parameter in built.named_parameters():  # batch norm starts with ones and zeros, which hide an error
        nn.init.normal_(parameter, 1.0 if name.endswith('bn.weight') else 0.0, 0.5)
    return built


def outcome(module: nn.Module, features: list[torch.Tensor]) -> list[torch.Tensor]:
    """The logits, the gradients of features and parameters, and what batch norm has counted."""
    inputs = [feature.clone().requires_grad_() for feature in features]
    logits = module(inputs)
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    gradients = torch.autograd.grad((logits * weights).sum(), [*inputs, *module.parameters()], materialize_grads=True)
    return [logits, *gradients, *module.buffers()]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize('sizes', SIZES)
@pytest.mark.parametrize(
    'options',
    [
        {},
        {'interpolate_mode': 'nearest', 'align_corners': None},
        {'align_corners': True},
        {'norm_cfg': None},
        {'norm_cfg': {'type': 'GN', 'num_groups': 2}, 'act_cfg': {'type': 'GELU'}},
        {'in_channels': CHANNELS[:2], 'in_index': [0, 2]},
    ],
)
def test_logits_gradients_and_statistics_are_mmsegs(options: dict[str, Any], sizes: str, training: bool) -> None:
    options = dict(options)
    stages = SIZES[sizes]
    if 'in_index' in options:
        options['in_channels'] = [CHANNELS[0], CHANNELS[2]]
    expected = head(**options).train(training)
    own = copy.deepcopy(expected)
    make_faster(own)
    assert type(own) is EarlyFusionSegformerHead
    features = [torch.randn(2, width, *size, dtype=torch.float64) for width, size in zip(CHANNELS, stages, strict=True)]
    for got, value in zip(outcome(own, features), outcome(expected, features), strict=True):
        torch.testing.assert_close(got, value, rtol=1e-10, atol=1e-10)


def test_weights_keep_their_names_and_other_heads_are_left_alone() -> None:
    class Other(type(head())):  # type: ignore[misc]
        """A head that somebody derived from SegFormer's, with a forward of its own."""

    own, other = head(), head()
    other.__class__ = Other
    names = list(own.state_dict())
    for each in (own, other):
        make_faster(each)
    assert list(own.state_dict()) == names
    assert type(other) is Other
