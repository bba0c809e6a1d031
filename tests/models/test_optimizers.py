"""Parameter groups, compared with those of mmcv's and mmseg's constructors."""

import copy
from types import SimpleNamespace
from typing import Any

import mmcls.models  # noqa: F401  (registers ConvNeXt)
import pytest
import torch
from conftest import TINY_SEGMENTOR
from mmcv import Config
from mmseg.core import build_optimizer as mmseg_build_optimizer
from mmseg.models import build_backbone
from torch import nn

from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo, zoo_names
from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.optimizers import build_optimizer, check_fused, groups_table
from seglight.models.pretrained import without_pretrained
from seglight.models.recipe import Recipe

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


def paramwise(**keys: Any) -> dict[str, Any]:
    return {**ADAMW, 'paramwise_cfg': keys}


def options_of_each(optimizer: torch.optim.Optimizer) -> dict[nn.Parameter, dict[str, Any]]:
    return {
        parameter: {name: value for name, value in group.items() if name not in ('params', 'param_names')}
        for group in optimizer.param_groups
        for parameter in group['params']
    }


@pytest.mark.parametrize('case', CASES)
def test_every_parameter_has_the_options_that_mmseg_gives_it(case: str) -> None:
    model, config = CASES[case]
    segmentor = Recipe(model).for_data(5).build()
    ours = build_optimizer(segmentor, copy.deepcopy(config))
    theirs = mmseg_build_optimizer(segmentor, copy.deepcopy(config))
    assert type(ours) is type(theirs)
    assert options_of_each(ours) == options_of_each(theirs)
    assert set(segmentor.parameters()) == set(options_of_each(ours))
    assert len({repr(options) for options in options_of_each(ours).values()}) == len(ours.param_groups)
    assert (len(ours.param_groups) == 1) == (case == 'one group')


def test_the_table_describes_each_group() -> None:
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
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
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
    optimizer = build_optimizer(segmentor, config)
    before = segmentor.decode_head.conv_seg.bias.clone()
    sum(parameter.sum() for parameter in segmentor.parameters()).backward()
    optimizer.step()
    assert not torch.equal(before, segmentor.decode_head.conv_seg.bias)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'type': 'AdamWW'}, "torch has no optimizer 'AdamWW'; did you mean 'AdamW'"),
        ({'type': 'SparseAdam'}, 'must not be SparseAdam: segmentors have no sparse gradients; use Adam'),
        ({'type': 'SGD', 'lrr': 1}, "SGD has no argument 'lrr'; did you mean 'lr'"),
        ({'type': 'AdamW', 'momentum': 0.9}, "AdamW has no argument 'momentum'; _delete_: true"),
        ({'type': 'SGD', 'lr': 'abc'}, "model.optimizer.lr must be a number, got 'abc'"),
        ({'type': 'AdamW', 'betas': 0.9}, 'model.optimizer.betas must be a list, got 0.9'),
        ({'type': 'SGD', 'lr': -1}, 'Invalid learning rate: -1'),
        ({'type': 'SGD', 'lr': 1, 'constructor': 'LearningRateDecay'}, "unknown constructor 'LearningRateDecay'; did you mean"),
        ({**CASES['layer decay of ConvNeXt'][1]}, 'does not support ResNetV1c'),
        ({'type': 'os.system'}, 'model.optimizer.type: os.system is not a subclass of Optimizer'),
        ({'type': 'no_such_package.Lion'}, "unknown class 'no_such_package.Lion'"),
        ({'lr': 0.1}, "model.optimizer must be a dict with 'type' or with 'class_path'"),
        (paramwise(norm_decay_mul=0), "paramwise_cfg.norm_decay_mul: unknown key; did you mean 'norm_decay_mult'"),
        (paramwise(num_layers=3), "paramwise_cfg.num_layers: unknown key; valid keys are custom_keys, bias_lr_mult"),
        (paramwise(norm_decay_mult='no'), "paramwise_cfg.norm_decay_mult must be a number, got 'no'"),
        (paramwise(custom_keys={'haed': {'lr_mult': 10}}), "no parameter name contains 'haed'; did you mean 'head'"),
        (paramwise(custom_keys={'backbone.layr1': {'lr_mult': 10}}), "did you mean 'backbone.layer1'"),
        (paramwise(custom_keys={'head': {'lr_mul': 10}}), "custom_keys.head.lr_mul: unknown key; did you mean 'lr_mult'"),
        (paramwise(custom_keys={'head': 10}), 'custom_keys.head must be a dict, got 10'),
        (paramwise(custom_keys=['head']), "custom_keys must be a dict, got ['head']"),
        ({**ADAMW, 'paramwise_cfg': 3}, 'model.optimizer.paramwise_cfg must be a dict, got 3'),
        ({'type': 'SGD', 'lr': 1, 'paramwise_cfg': {'norm_decay_mult': 0}}, 'norm_decay_mult multiplies model.optimizer.weight_decay, which is not set'),
        ({'type': 'Adam', 'paramwise_cfg': {'custom_keys': {'head': {'lr_mult': 2}}}}, 'custom_keys.head multiplies model.optimizer.lr, which'),
        ({**ADAMW, 'constructor': 'LearningRateDecayOptimizerConstructor'}, 'LearningRateDecayOptimizerConstructor needs num_layers'),
    ],
)  # fmt: skip
def test_the_cause_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Segmentor(TINY_SEGMENTOR, list('abcde'), optimizer=config)
    assert message in str(error.value)


def test_a_custom_key_for_another_model_is_not_an_error() -> None:
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
    keys = {'absolute_pos_embed': {'decay_mult': 0.0}, 'norm': {'decay_mult': 0.0}, 'pos_block': {'decay_mult': 0.0}}
    assert len(build_optimizer(segmentor, paramwise(custom_keys=keys)).param_groups) == 1


def test_custom_keys_of_a_vit_are_accepted_for_a_swin() -> None:
    swin = {'type': 'SwinTransformer', 'embed_dims': 8, 'depths': [1] * 4, 'num_heads': [1] * 4, 'window_size': 2}
    keys = {name: {'decay_mult': 0.0} for name in ('pos_embed', 'cls_token', 'level_embed', 'query_embed', 'norm')}
    build_optimizer(build_backbone(swin), paramwise(custom_keys=keys))


def zoo_paramwise() -> dict[str, str]:
    """One config of mmseg's zoo per family, backbone and `paramwise_cfg`."""
    found: dict[str, str] = {}
    for name in zoo_names():
        config = Config.fromfile(str(find_zoo(name)))
        options = config.get('optimizer', {}).get('paramwise_cfg')
        if options:
            found.setdefault(
                f'{name.split("/")[0]}: {config.model.backbone.type}, {[*options, *options.get("custom_keys", {})]}',
                name,
            )
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')
def test_no_paramwise_cfg_of_mmsegs_zoo_is_refused() -> None:
    names = zoo_paramwise()
    assert len(names) > 10
    for name in names.values():
        config = read_mmseg_config(find_zoo(name))
        segmentor = Recipe(without_pretrained(config['model'])).for_data(19).construct()
        build_optimizer(segmentor, config['optimizer'])


@pytest.mark.parametrize(
    ('fused', 'scaler', 'clipped', 'refused'),
    [(True, True, 1.0, True), (True, True, None, False), (True, False, 1.0, False), (False, True, 1.0, False)],
)
def test_a_fused_optimizer_with_a_scaler_and_clipping_is_refused(
    fused: bool, scaler: bool, clipped: float | None, refused: bool
) -> None:
    plugin = SimpleNamespace(scaler=object() if scaler else None)
    trainer: Any = SimpleNamespace(precision_plugin=plugin, gradient_clip_val=clipped)
    if refused:
        with pytest.raises(
            ConfigError, match=r'^model\.optimizer\.fused must be false with trainer\.precision: 16-mixed'
        ):
            check_fused({**ADAMW, 'fused': fused}, trainer)
    else:
        check_fused({**ADAMW, 'fused': fused}, trainer)
