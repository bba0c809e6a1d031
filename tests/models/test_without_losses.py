"""Models that only predict need no loss of the training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from conftest import TINY_SEGMENTOR
from torch import nn

from seglight.models.recipe import Recipe
from seglight.models.without_losses import drop_unknown_losses, without_losses

PLAIN = {'type': 'CrossEntropyLoss', 'use_sigmoid': False}
SIGMOID = {'type': 'CrossEntropyLoss', 'use_sigmoid': True}


def test_every_loss_and_sampler_is_replaced_and_nothing_else_is_touched() -> None:
    model: dict[str, Any] = {
        'backbone': {'type': 'X', 'loss_decode': 'of no head'},
        'decode_head': [
            {'type': 'A', 'loss_decode': [{'type': 'own.Loss'}, {'type': 'DiceLoss'}], 'sampler': {'type': 'OHEM'}},
            {
                'type': 'K',
                'kernel_generate_head': {'type': 'B', 'loss_decode': {'type': 'own.Loss'}, 'out_channels': 1},
            },
        ],
        'auxiliary_head': {'type': 'C', 'channels': 4},
    }
    before = copy.deepcopy(model)
    assert without_losses(model) == {
        'backbone': {'type': 'X', 'loss_decode': 'of no head'},
        'decode_head': [
            {'type': 'A', 'loss_decode': PLAIN},
            {'type': 'K', 'kernel_generate_head': {'type': 'B', 'loss_decode': SIGMOID, 'out_channels': 1}},
        ],
        'auxiliary_head': {'type': 'C', 'channels': 4},
    }
    assert model == before
    assert without_losses({'backbone': {}}) == {'backbone': {}}


def test_a_model_without_its_losses_predicts_the_same() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode'] = {'type': 'FocalLoss', 'loss_weight': 3.0}
    torch.manual_seed(0)
    whole = Recipe(copy.deepcopy(model)).for_data(4).construct().eval()
    plain = Recipe(without_losses(model)).for_data(4).construct().eval()
    plain.load_state_dict(whole.state_dict(), strict=False)
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(whole.encode_decode(image, [{}]), plain.encode_decode(image, [{}]))


class Head(nn.Module):
    """A head with a loss that has weights."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.conv = nn.Linear(1, 1)
        self.loss_decode = nn.ModuleList(nn.Linear(1, 1) for _ in range(losses))


def test_only_weights_of_losses_that_are_not_there_are_dropped() -> None:
    segmentor = nn.ModuleDict({'decode_head': Head(1)})
    state = {f'segmentor.{name}': value for name, value in nn.ModuleDict({'decode_head': Head(3)}).state_dict().items()}
    state |= {'segmentor.decode_head.extra': torch.zeros(1), 'other.loss_decode.0': torch.zeros(1)}
    drop_unknown_losses(segmentor, state, 'segmentor.')
    assert sorted(state) == [
        'segmentor.decode_head.conv.bias',
        'segmentor.decode_head.conv.weight',
        'segmentor.decode_head.extra',
        'segmentor.decode_head.loss_decode.0.bias',
        'segmentor.decode_head.loss_decode.0.weight',
    ]
