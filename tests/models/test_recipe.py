"""Segmentors of every structure predict the classes of the data."""

import copy
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import mmseg
import pytest
import torch
import yaml
from conftest import TINY_SEGMENTOR
from mmcv import Config, ConfigDict
from mmseg.models import build_segmentor as mmseg_build_segmentor
from torch import nn

from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.parts import walk
from seglight.models.pretrained import without_pretrained
from seglight.models.recipe import Recipe

MMSEG_CONFIGS = Path(mmseg.__file__).parent / '.mim' / 'configs'

HEAD = {'type': 'FCNHead', 'in_channels': 512, 'channels': 8}

#: One of each structure: single head, cascade, nested heads, lists of auxiliary heads, class tokens.
STRUCTURES = {
    'pspnet': '_base_/models/pspnet_r50-d8.py',
    'ocrnet': '_base_/models/ocrnet_hr18.py',
    'pointrend': '_base_/models/pointrend_r50.py',
    'icnet': '_base_/models/icnet_r50-d8.py',
    'encnet': '_base_/models/encnet_r50-d8.py',
    'fast_scnn': '_base_/models/fast_scnn.py',
    'segmenter': '_base_/models/segmenter_vit-b16_mask.py',
    'knet': 'knet/knet_s3_fcn_r50-d8_8x2_512x512_adamw_80k_ade20k.py',
}


def mmseg_model(name: str) -> dict[str, Any]:
    """The model dict of one of mmseg's own configs."""
    model = Config.fromfile(str(MMSEG_CONFIGS / STRUCTURES[name])).model.to_dict()
    return without_pretrained(model)


@pytest.mark.slow
@pytest.mark.parametrize('name', STRUCTURES)
def test_every_head_predicts_the_classes_of_the_data(name: str) -> None:
    model = mmseg_model(name)
    before = copy.deepcopy(model)
    segmentor = Recipe(model).for_data(7).build()
    assert model == before
    counts = {path: module.num_classes for path, module in segmentor.named_modules() if hasattr(module, 'num_classes')}
    assert len(counts) > 1 or name == 'pspnet'
    assert set(counts.values()) == {7}
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in segmentor.modules())
    image, mask = torch.randn(2, 3, 64, 64), torch.randint(0, 7, (2, 1, 64, 64))
    segmentor.train()
    losses = segmentor.forward_train(image, [{}, {}], mask)
    sum(value.sum() for key, value in losses.items() if 'loss' in key).backward()
    segmentor.eval()
    with torch.no_grad():
        assert segmentor.encode_decode(image[:1], [{}]).shape == (1, 7, 64, 64)


def test_heads_with_the_default_num_classes_get_it_too() -> None:
    """K-Net's update heads have 150 classes by default."""
    model = {
        'decode_head': {
            'type': 'IterativeDecodeHead',
            'kernel_update_head': [{'type': 'KernelUpdateHead'}, {'type': 'KernelUpdateHead', 'num_classes': 150}],
            'kernel_generate_head': {'type': 'FCNHead', 'loss_decode': {'type': 'CrossEntropyLoss'}},
        },
        'auxiliary_head': [{'type': 'FCNHead'}],
    }
    done = Recipe(model).for_data(7, ignore_index=9).model
    update = done['decode_head']['kernel_update_head']
    assert [head['num_classes'] for head in update] == [7, 7]
    assert done['decode_head']['kernel_generate_head']['num_classes'] == 7
    assert done['auxiliary_head'][0]['num_classes'] == 7
    assert 'num_classes' not in done['decode_head']['kernel_generate_head']['loss_decode']
    assert done['decode_head']['kernel_generate_head']['ignore_index'] == 9
    assert done['auxiliary_head'][0]['ignore_index'] == 9


def small_stdc(num_classes: int) -> dict[str, Any]:
    """STDC of mmseg with few channels, and the number of classes that users of mmseg would write."""
    model: dict[str, Any] = Config.fromfile(str(MMSEG_CONFIGS / '_base_/models/stdc.py')).model.to_dict()
    model['backbone'] |= {'last_in_channels': [32, 16], 'out_channels': 8}
    model['backbone']['backbone_cfg']['channels'] = [8, 8, 16, 16, 32]
    model['backbone']['ffm_cfg'] = {'in_channels': 24, 'out_channels': 16, 'scale_factor': 4}
    for head in [model['decode_head'], *model['auxiliary_head']]:
        head['in_channels'] = 8 if head['in_index'] in (1, 2) else 16
        if head['type'] != 'STDCHead':
            head['num_classes'] = num_classes
    return model


@pytest.mark.parametrize('num_classes', [3, 11])
def test_the_boundaries_of_stdc_have_mmsegs_losses_for_any_number_of_classes(num_classes: int) -> None:
    ours = Recipe(small_stdc(19)).for_data(num_classes).build().train()
    theirs = mmseg_build_segmentor(ConfigDict(small_stdc(num_classes))).train()
    theirs.load_state_dict(ours.state_dict())
    labels = torch.randint(0, num_classes, (2, 1, 4, 4)).float()
    labels = nn.functional.interpolate(labels, scale_factor=16).long()  # large enough to have insides
    image = torch.randn(2, 3, 64, 64)
    found = []
    for segmentor in (ours, theirs):
        torch.manual_seed(0)
        found.append(segmentor.forward_train(image, [{}, {}], labels))
    assert found[0].keys() == found[1].keys() > {'aux_2.loss_ce', 'aux_2.loss_dice'}
    for name, value in found[1].items():
        assert torch.equal(found[0][name], value), name


@pytest.mark.parametrize('key', ['out_channels', 'class_weight'])
def test_settings_of_stdcs_boundary_head_count_boundaries(key: str) -> None:
    model = small_stdc(3)
    head = model['auxiliary_head'][2]
    if key == 'out_channels':
        head['out_channels'] = 2
    else:
        head['loss_decode'][0] = {'type': 'CrossEntropyLoss', 'class_weight': [1.0, 2.0]}
    assert Recipe(model).for_data(3).construct().auxiliary_head[2].num_classes == 2


def test_nothing_is_downloaded_for_a_model_that_loads_a_checkpoint() -> None:
    model = {
        'pretrained': 'open-mmlab://resnet50_v1c',
        'backbone': {'pretrained': 'x.pth', 'init_cfg': {'type': 'Pretrained', 'checkpoint': 'y.pth'}},
        'decode_head': {'init_cfg': {'type': 'Normal', 'std': 0.01}},
    }
    assert without_pretrained(model) == {
        'pretrained': None,
        'backbone': {'pretrained': None, 'init_cfg': None},
        'decode_head': {'init_cfg': {'type': 'Normal', 'std': 0.01}},
    }


@pytest.mark.parametrize(
    ('init', 'left'),
    [
        ([{'type': 'Normal'}, {'type': 'Pretrained', 'checkpoint': 'x'}], [{'type': 'Normal'}]),
        (
            {'type': 'Normal', 'override': {'type': 'Pretrained', 'name': 'conv'}},
            {'type': 'Normal', 'override': None},
        ),
        ({'type': 'Normal', 'checkpoint': 'x'}, None),
        ({'type+': 'Pretrained'}, None),
    ],
    ids=['in a list', 'in an override', 'as Swin reads it', 'with a plus'],
)
def test_addresses_of_weights_in_an_init_cfg_are_removed(init: Any, left: Any) -> None:
    assert without_pretrained({'neck': [{'init_cfg': init}]}) == {'neck': [{'init_cfg': left}]}


@pytest.mark.parametrize('name', sorted(path.stem for path in (MMSEG_CONFIGS / '_base_' / 'models').glob('*.py')))
def test_no_key_of_mmsegs_own_models_is_refused(name: str) -> None:
    Recipe(Config.fromfile(str(MMSEG_CONFIGS / '_base_' / 'models' / f'{name}.py')).model.to_dict()).check_keys()


@pytest.mark.parametrize(
    ('key', 'part', 'message'),
    [
        (
            'decode_head',
            {'type': 'FCNHaed'},
            "model.segmentor.decode_head.type: mmseg has no 'FCNHaed'; did you mean 'FCNHead'",
        ),
        (
            'neck',
            {'type': 'FPN', 'out_chanels': 3},
            "model.segmentor.neck.out_chanels: FPN has no argument 'out_chanels'; did you mean",
        ),
        ('type', 'EncoderDecodr', "model.segmentor.type: mmseg has no 'EncoderDecodr'; did you mean 'EncoderDecoder'"),
        (
            'backbone',
            {'type': 'ResNetV1c', 'depht': 18},
            "model.segmentor.backbone.depht: ResNetV1c has no argument 'depht'; did you mean 'depth'",
        ),
        (
            'backbone',
            {'type': 'ResNetV1c', 'depth': 18, 'norm_cfg': {'type': 'BNN'}},
            "model.segmentor.backbone.norm_cfg.type: mmseg has no 'BNN'; did you mean 'BN'?",
        ),
        (
            'backbone',
            {'type': 'ResNetV1c', 'depth': 18, 'init_cfg': {'type': 'Pretraned', 'checkpoint': 'x'}},
            "model.segmentor.backbone.init_cfg.type: mmseg has no 'Pretraned'; did you mean 'Pretrained'?",
        ),
        (
            'auxiliary_head',
            {**HEAD, 'act_cfg': {'type': 'ReLUU'}},
            "model.segmentor.auxiliary_head.act_cfg.type: mmseg has no 'ReLUU'; did you mean 'ReLU'?",
        ),
        (
            'auxiliary_head',
            {**HEAD, 'sampler': {'type': 'OHEMPixelSamplr'}},
            "model.segmentor.auxiliary_head.sampler.type: mmseg has no 'OHEMPixelSamplr'; did you mean 'OHEMPixelSampler'?",
        ),
        (
            'auxiliary_head',
            [HEAD, {**HEAD, 'in_index': [0, 1]}],
            'model.segmentor.auxiliary_head.1 cannot be built by mmseg: it needs isinstance(in_index, int)',
        ),
        (
            'auxiliary_head',
            [HEAD, {**HEAD, 'in_index': 4}],
            'model.segmentor.auxiliary_head.1.in_index is 4, but ResNetV1c gives 4 feature maps, 0 to 3',
        ),
        (
            'backbone',
            {'type': 'ResNetV1c', 'depth': 19},
            'model.segmentor.backbone cannot be built by mmseg: invalid depth 19',
        ),
        ('decode_head', {**HEAD, 'channels': math.inf}, 'model.segmentor.decode_head cannot be built by mmseg: '),
        (
            'backbone',
            {'type': 'ResNetV1c', 'depth': 18, 'base_channels': 10**30},
            'model.segmentor.backbone cannot be built by mmseg: ',
        ),
        ('test_cfg', 'whole', "model.segmentor.test_cfg must be a mapping or null, got 'whole'"),
        ('train_cfg', [1], 'model.segmentor.train_cfg must be a mapping or null, got [1]'),
        (
            'train_cfg',
            {'num_pionts': 3},
            "model.segmentor.train_cfg.num_pionts: unknown key; did you mean 'num_points'?",
        ),
        ('test_cfg', {'moed': 'slide'}, "model.segmentor.test_cfg.moed: unknown key; did you mean 'mode'?"),
        (
            'test_cfg',
            {'mode': 'slide', 'crop_size': 32, 'stride': 16},
            'test_cfg.crop_size must be a height and a width',
        ),
        ('test_cfg', {'mode': 'slide', 'crop_size': [32, 32], 'stride': [0, 0]}, 'such as [512, 512], got [0, 0]'),
        (
            'test_cfg',
            {'mode': 'slide', 'crop_size': [32, 32], 'stride': [32, 33]},
            'test_cfg.stride must not exceed crop_size',
        ),
    ],
)
def test_the_part_that_mmseg_cannot_build_is_named(key: str, part: object, message: str) -> None:
    model = {
        'type': 'EncoderDecoder',
        'backbone': {'type': 'ResNetV1c', 'depth': 18},
        'decode_head': HEAD,
    }
    with pytest.raises(ConfigError) as error:
        Recipe({**model, key: part}).for_data(3).build()
    assert message in str(error.value)
    assert '\n' not in str(error.value)


def test_a_recipe_finds_each_part_once_with_its_key_and_role() -> None:
    model = {
        'type': 'EncoderDecoder',
        'backbone': {'type': 'ResNetV1c', 'init_cfg': [{'type': 'Kaiming'}]},
        'decode_head': {
            'type': 'IterativeDecodeHead',
            'kernel_generate_head': {'type': 'FCNHead', 'loss_decode': {'type': 'CrossEntropyLoss'}},
        },
        'auxiliary_head': [{'type': 'FCNHead', 'loss_decode': [{'type': 'DiceLoss'}]}],
    }
    assert [(part.key, part.role) for part in Recipe(model).parts] == [
        ('model.segmentor', 'segmentor'),
        ('model.segmentor.backbone', 'other'),
        ('model.segmentor.backbone.init_cfg.0', 'other'),
        ('model.segmentor.decode_head', 'head'),
        ('model.segmentor.decode_head.kernel_generate_head', 'head'),
        ('model.segmentor.decode_head.kernel_generate_head.loss_decode', 'loss'),
        ('model.segmentor.auxiliary_head.0', 'head'),
        ('model.segmentor.auxiliary_head.0.loss_decode.0', 'loss'),
    ]


def test_a_segmentor_walks_its_model_dict_twice_and_copies_it_once() -> None:
    """Once as written, once as mmseg builds it."""
    model = copy.deepcopy(TINY_SEGMENTOR)
    with (
        mock.patch('seglight.models.recipe.walk', wraps=walk) as walks,
        mock.patch('copy.deepcopy', wraps=copy.deepcopy) as copies,
    ):
        Segmentor(model, ['a', 'b'])
    assert model == TINY_SEGMENTOR
    assert walks.call_count == 2
    assert [call.args[0] for call in copies.call_args_list if call.args[0] is model] == [model]


def test_the_classes_reach_the_losses_of_other_libraries_and_the_head_around_them() -> None:
    loss = {'class_path': 'some.losses.Loss', 'init_args': {'num_classes': 19}}
    model = {'decode_head': {'type': 'FCNHead', 'loss_decode': loss}}
    head = Recipe(model).for_data(7).model['decode_head']
    assert head['num_classes'] == 7
    assert head['loss_decode']['type'] == 'ClassPathLoss'
    assert head['loss_decode']['loss']['init_args'] == {'num_classes': 7}


OWN_PARTS = """
from mmseg.models.decode_heads import FCNHead
from torch import nn

class Head(FCNHead):
    def __init__(self, scale=1.0, **arguments):
        super().__init__(**arguments)
        self.scale = scale

    def cls_seg(self, feature):
        return self.scale * super().cls_seg(feature)

class Neck(nn.Module):
    def forward(self, features):
        return features

class Plain:
    pass
"""


@pytest.fixture
def own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module with a head and a neck."""
    name = 'own_parts_of_a_test'
    (tmp_path / f'{name}.py').write_text(OWN_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def with_head(**head: Any) -> dict[str, Any]:
    return {**TINY_SEGMENTOR, 'decode_head': {**TINY_SEGMENTOR['decode_head'], **head}}


def test_a_part_is_named_by_its_path(own_parts: str) -> None:
    model = with_head(type=f'{own_parts}.Head', scale=0.0)
    module = Segmentor({**model, 'neck': {'type': f'{own_parts}.Neck'}}, ['a', 'b', 'c'])
    head = module.segmentor.decode_head
    assert (type(head).__name__, head.num_classes, head.scale) == ('Head', 3, 0.0)
    assert type(module.segmentor.neck).__name__ == 'Neck'
    assert module.hparams['segmentor']['decode_head']['type'] == f'{own_parts}.Head'
    with torch.no_grad():
        assert not module.eval().segmentor.encode_decode(torch.randn(1, 3, 32, 32), [{}]).any()


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (
            {'type': 'NAME.Head', 'scael': 2.0},
            r"decode_head\.scael: NAME\.Head has no argument 'scael'; did you mean 'scale'",
        ),
        ({'type': 'NAME.Haed'}, r"decode_head\.type: unknown class 'NAME\.Haed'"),
        ({'type': 'missing_parts.Head'}, r"decode_head\.type: unknown class 'missing_parts\.Head': No module named"),
        ({'type': 'NAME.Plain'}, r'decode_head\.type: NAME\.Plain is not a subclass of Module'),
        (
            {'type': 'mmseg.models.decode_heads.FCNHead'},
            r"decode_head\.type must be 'FCNHead', got 'mmseg\.models\.decode_heads\.FCNHead'",
        ),
        ({'loss_decode': {'type': 'FCNHead', 'x': {'type': 'NAME.Head'}}}, r'loss_decode\.x\.type must be a name that'),
        ({'norm_cfg': {'type': 'NAME.Norm'}}, r"norm_cfg\.type must be a name that mmcv knows, got 'NAME\.Norm'"),
    ],
)
def test_a_path_that_is_no_part_is_named(head: dict[str, Any], message: str, own_parts: str) -> None:
    given = yaml.safe_load(yaml.safe_dump(head).replace('NAME', own_parts))
    with pytest.raises(ConfigError, match=message.replace('NAME', own_parts)):
        Segmentor(with_head(**given), ['a', 'b'])


def test_a_whole_segmentor_must_be_one_of_mmsegs(own_parts: str) -> None:
    with pytest.raises(ConfigError, match=rf'segmentor\.type: {own_parts}\.Neck is not a subclass of BaseSegmentor'):
        Segmentor({'type': f'{own_parts}.Neck'}, ['a', 'b'])


def test_reading_a_model_dict_imports_nothing(own_parts: str) -> None:
    model = with_head(type=f'{own_parts}.Head')
    Recipe(model).check_keys()
    without_pretrained(model)
    assert [part.cls for part in walk(model) if part.path == ('decode_head',)] == [None]
    assert own_parts not in sys.modules
