"""Parameter groups, compared with those of mmcv's and mmseg's constructors."""

import copy
from typing import Any

import mmcls.models  # noqa: F401  (registers ConvNeXt)
import pytest
import torch
from conftest import TINY_SEGMENTOR
from mmseg.core import build_optimizer as mmseg_build_optimizer
from torch import nn

from seglight.errors import ConfigError
from seglight.models import Segmentor, building
from seglight.models.optimizers import build_optimizer, groups_table

CONVNEXT = {
    'type': 'EncoderDecoder',
    'backbone': {
        'type': 'mmcls.ConvNeXt',
        'arch': {'depths': [1, 1, 3, 1], 'channels': [4, 8, 16, 32]},
        'out_indices': [0, 1, 2, 3],
        'gap_before_final_norm': False,
    },
    'decode_head': {'type': 'FCNHead', 'in_channels': 32, 'in_index': 3, 'channels': 8, 'num_convs': 1},
}
BEIT = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'BEiT', 'img_size': 32, 'embed_dims': 16, 'num_layers': 3, 'num_heads': 2, 'out_indices': [2]},
    'decode_head': {'type': 'FCNHead', 'in_channels': 16, 'in_index': 0, 'channels': 8, 'num_convs': 1},
}
ADAMW = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.05}

CASES = {
    'one group': (TINY_SEGMENTOR, {'type': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4}),
    'custom keys': (
        TINY_SEGMENTOR,
        {
            **ADAMW,
            'paramwise_cfg': {'custom_keys': {'head': {'lr_mult': 10.0}, 'backbone.layer1': {'decay_mult': 0.0}}},
        },
    ),
    'norms and biases': (
        TINY_SEGMENTOR,
        {**ADAMW, 'paramwise_cfg': {'norm_decay_mult': 0.0, 'bias_lr_mult': 2.0, 'bias_decay_mult': 0.0}},
    ),
    'layer decay of ConvNeXt': (
        CONVNEXT,
        {
            **ADAMW,
            'constructor': 'LearningRateDecayOptimizerConstructor',
            'paramwise_cfg': {'decay_rate': 0.9, 'decay_type': 'stage_wise', 'num_layers': 6},
        },
    ),
    'layer decay of BEiT': (
        BEIT,
        {
            **ADAMW,
            'constructor': 'LayerDecayOptimizerConstructor',
            'paramwise_cfg': {'num_layers': 3, 'layer_decay_rate': 0.8},
        },
    ),
}


def options_of_each(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, dict[str, Any]]:
    return {
        parameter: {name: value for name, value in group.items() if name not in ('params', 'param_names')}
        for group in optimizer.param_groups
        for parameter in group['params']
    }


@pytest.mark.filterwarnings('ignore:DeprecationWarning')
@pytest.mark.parametrize('case', CASES)
def test_every_parameter_has_the_options_that_mmseg_gives_it(case: str) -> None:
    model, config = CASES[case]
    segmentor = building.build(model, 5)
    ours = build_optimizer(segmentor, copy.deepcopy(config))
    theirs = mmseg_build_optimizer(segmentor, copy.deepcopy(config))
    assert type(ours) is type(theirs)
    assert options_of_each(ours) == options_of_each(theirs)
    assert set(segmentor.parameters()) == set(options_of_each(ours))
    assert len({repr(options) for options in options_of_each(ours).values()}) == len(ours.param_groups)
    assert (len(ours.param_groups) == 1) == (case == 'one group')


def test_the_table_says_what_each_group_holds() -> None:
    segmentor = building.build(TINY_SEGMENTOR, 5)
    segmentor.backbone.stem.requires_grad_(False)
    optimizer = build_optimizer(segmentor, {**ADAMW, 'paramwise_cfg': {'custom_keys': {'head': {'lr_mult': 10.0}}}})
    table = [line.split(maxsplit=5) for line in groups_table(segmentor, optimizer).splitlines()]
    heads = [*segmentor.decode_head.parameters(), *segmentor.auxiliary_head.parameters()]
    count = f'{sum(p.numel() for p in heads):,}'
    row = next(row for row in table if row[0] == '0.01')
    assert row[1:5] == ['0.05', str(len(heads)), count, count]
    assert row[5].startswith('decode_head.conv_seg.weight, decode_head.conv_seg.bias, decode_head.')
    backbone = next(row for row in table if row[0] == '0.001')
    frozen = sum(p.numel() for p in segmentor.backbone.stem.parameters())
    assert int(backbone[3].replace(',', '')) - int(backbone[4].replace(',', '')) == frozen > 0
    assert sum(int(row[2]) for row in table[1:]) == len(list(segmentor.parameters()))


@pytest.mark.parametrize(
    'config', [{'type': 'AdamW', 'fused': True}, {'class_path': 'torch.optim.NAdam', 'init_args': {'foreach': True}}]
)
def test_any_optimizer_and_variant_of_torch_steps(config: dict[str, Any]) -> None:
    segmentor = building.build(TINY_SEGMENTOR, 5)
    optimizer = build_optimizer(segmentor, config)
    before = segmentor.decode_head.conv_seg.bias.clone()
    sum(parameter.sum() for parameter in segmentor.parameters()).backward()
    optimizer.step()
    assert not torch.equal(before, segmentor.decode_head.conv_seg.bias)


@pytest.mark.parametrize(
    ('config', 'said'),
    [
        ({'type': 'AdamWW'}, "torch has no optimizer 'AdamWW'; did you mean 'AdamW'"),
        ({'type': 'SGD', 'lrr': 1}, "SGD has no argument 'lrr'; did you mean 'lr'"),
        ({'type': 'AdamW', 'momentum': 0.9}, "AdamW has no argument 'momentum'; _delete_: true"),
        ({'type': 'SGD', 'lr': -1}, 'Invalid learning rate: -1'),
        ({'type': 'SGD', 'lr': 1, 'constructor': 'LearningRateDecay'}, "there is no 'LearningRateDecay'; did you mean"),
        ({**CASES['layer decay of ConvNeXt'][1]}, 'knows no layers in a ResNetV1c'),
        ({'type': 'os.system'}, 'os.system is no Optimizer'),
        ({'type': 'no_such_package.Lion'}, "there is no class 'no_such_package.Lion'"),
        ({'lr': 0.1}, "model.optimizer is a dict with 'type' or with 'class_path'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        Segmentor(TINY_SEGMENTOR, list('abcde'), optimizer=config)
    assert said in str(error.value)
