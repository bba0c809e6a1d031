"""Backbones of timm: channels and layers from timm, any size of image, and weights that load safely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch

import seglight
from seglight.config.files import SHIPPED, load_config
from seglight.errors import CheckpointError, ConfigError
from seglight.files import weights_folder
from seglight.models import Segmentor
from seglight.models.loss_items import mean, total
from seglight.models.optimizers import build_optimizer
from seglight.models.recipe import Recipe

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures('offline')]
timm: Any = pytest.importorskip('timm')

CLASSES = list('abcde')
PYRAMID = {'type': 'Feature2Pyramid', 'norm_cfg': {'type': 'BN'}}

#: One of each kind, with the neck that it needs.
BACKBONES: dict[str, dict[str, Any] | None] = {
    'vit_small_patch16_dinov3': PYRAMID,
    'eva02_tiny_patch14_224': PYRAMID,
    'vit_tiny_patch16_224': PYRAMID,
    'convnextv2_atto': None,
    'swinv2_tiny_window8_256': None,
    'swin_tiny_patch4_window7_224': None,
    'resnet18': None,
    'mobilenetv3_small_050': None,
}


def model(name: str, neck: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """UPerNet without any channels."""
    head = {'type': 'UPerHead', 'channels': 16, 'pool_scales': [1, 2], 'norm_cfg': {'type': 'BN'}}
    backbone = {'type': 'TIMMBackbone', 'model_name': name, 'pretrained': False, **options}
    return {'type': 'EncoderDecoder', 'backbone': backbone, 'decode_head': head, **({'neck': neck} if neck else {})}


@pytest.mark.slow
@pytest.mark.parametrize('name', BACKBONES)
def test_a_backbone_trains_and_predicts_at_any_size(name: str, tmp_path: Path, no_network: list[str]) -> None:
    neck = BACKBONES[name]
    module = Segmentor(model(name, neck, with_cp=True), CLASSES).train()
    losses = module.losses(random_batch(2, 64))
    total({name: mean(value) for name, value in losses.items()}).backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
    checkpoint = {'hyper_parameters': dict(module.hparams), 'state_dict': module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / 'a.ckpt')
    predictor = seglight.load(tmp_path / 'a.ckpt', 'cpu')
    for size in ((97, 131), (1, 500)):
        assert predictor.predict(np.zeros((*size, 3), np.uint8)).shape == size
    assert no_network == []


@pytest.mark.parametrize(
    ('name', 'neck', 'head', 'expected'),
    [
        ('resnet18', None, {'type': 'FCNHead'}, {'in_channels': 512, 'in_index': 4}),
        ('resnet18', None, {'type': 'FCNHead', 'in_index': 2}, {'in_channels': 128}),
        ('resnet18', None, {'type': 'FCNHead', 'in_channels': 7}, {'in_channels': 7}),
        ('resnet18', {'type': 'FPN', 'out_channels': 8}, {'type': 'FPNHead'}, {'in_channels': [8] * 5, 'feature_strides': [2, 4, 8, 16, 32]}),
        ('resnet18', {'type': 'FPN', 'out_channels': 8}, {'type': 'FPNHead', 'in_index': [1, 2]}, {'in_channels': [8, 8], 'feature_strides': [4, 8]}),
        ('vit_tiny_patch16_224', PYRAMID, {'type': 'FPNHead'}, {'in_channels': [192] * 4, 'feature_strides': [4, 8, 16, 32]}),
        ('convnextv2_atto', {'type': 'MultiLevelNeck', 'out_channels': 9}, {'type': 'UPerHead'}, {'in_channels': [9] * 4, 'in_index': [0, 1, 2, 3]}),
        ('resnet18', None, {'type': 'FCNHead', 'num_convs': 0}, {'in_channels': 512, 'channels': 512}),
    ],
)  # fmt: skip
def test_channels_and_strides_come_from_the_backbone(
    name: str, neck: Any, head: dict[str, Any], expected: dict[str, Any]
) -> None:
    values = model(name, neck)
    values['decode_head'] = head
    before = repr(values)
    filled = Recipe(values).for_data(5).model
    assert repr(values) == before
    assert filled['decode_head'].items() >= expected.items()


def test_feature_maps_of_swin_have_their_channels_first() -> None:
    module = Segmentor(model('swin_tiny_patch4_window7_224'), CLASSES).eval()
    maps = module.segmentor.extract_feat(torch.zeros(1, 3, 64, 96))
    assert [tuple(each.shape) for each in maps] == [(1, 96, 16, 24), (1, 192, 8, 12), (1, 384, 4, 6), (1, 768, 2, 3)]


@pytest.mark.parametrize('name', ['vit_tiny_patch16_224', 'convnextv2_atto', 'resnet18'])
def test_rates_decay_with_depth_as_in_timm(name: str) -> None:
    neck = BACKBONES[name]
    config = {'type': 'AdamW', 'lr': 1e-3, 'weight_decay': 0.05, 'constructor': 'LearningRateDecayOptimizerConstructor', 'paramwise_cfg': {'decay_rate': 0.5}}  # fmt: skip
    module = Segmentor(model(name, neck), CLASSES, optimizer=config)
    rates = {}
    for group in build_optimizer(module.segmentor, module.optimizer).param_groups:
        rates.update({id(parameter): (group['lr'], group['weight_decay']) for parameter in group['params']})

    whole = timm.create_model(name)
    layers = timm.models.group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
    top = max(layers.values())  # the classifier, in whose place the heads are
    own = {}
    for key, parameter in module.segmentor.backbone.timm_model.named_parameters():
        own[key.removeprefix('model.')] = rates[id(parameter)]
    # timm's extractors of convolutional models are flat: stages_0.blocks stands for stages.0.blocks.
    named = {
        key.replace('.', '_', 1) if key.replace('.', '_', 1) in own else key: layer for key, layer in layers.items()
    }
    shared = own.keys() & named.keys()
    assert len(shared) > 0.8 * len(own)
    for key in shared:
        assert own[key][0] == pytest.approx(1e-3 * 0.5 ** (top - named[key])), key
    for parameter in module.segmentor.decode_head.parameters():
        assert rates[id(parameter)] == (1e-3, 0.05 if parameter.ndim > 1 else 0.0)


def test_gradient_checkpointing_and_drop_path_reach_the_model() -> None:
    backbone = Segmentor(
        model('vit_tiny_patch16_224', PYRAMID, with_cp=True, drop_path_rate=0.3), CLASSES
    ).segmentor.backbone
    assert backbone.timm_model.model.grad_checkpointing
    assert backbone.timm_model.model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.3)


def test_a_local_file_of_timms_weights_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(1)
    whole = timm.create_model('resnet18')
    torch.save(whole.state_dict(), tmp_path / 'resnet18.pth')
    module = Segmentor(model('resnet18', checkpoint_path=str(tmp_path / 'resnet18.pth')), CLASSES)
    loaded = module.segmentor.backbone.timm_model.state_dict()
    assert all(value.equal(whole.state_dict()[name]) for name, value in loaded.items())


def test_converted_weights_are_loaded_by_name_and_a_typo_names_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    whole = timm.create_model('resnet18')
    weights_folder().mkdir(parents=True)
    torch.save(whole.state_dict(), weights_folder() / 'resnet18.pth')
    module = Segmentor(model('resnet18', checkpoint_path='weights://resnet18.pth'), CLASSES)
    assert module.segmentor.backbone.timm_model.conv1.weight.equal(whole.conv1.weight)
    typo = 'weights://resnet81.pth'
    for values in (model('resnet18', checkpoint_path=typo), {**TINY_SEGMENTOR, 'pretrained': typo}):
        with pytest.raises(CheckpointError, match=rf"{typo} was not found: .* did you mean 'resnet18\.pth'"):
            Segmentor(values, CLASSES)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'model_name': 'vit_small_patch16_dinov4'}, "backbone.model_name: timm has no model 'vit_small_patch16_dinov4'; did you mean"),
        ({'model_name': 'resnet18.a1_in2k'}, "backbone.model_name: timm has no model 'resnet18.a1_in2k'; did you mean 'resnet18.a1_in1k'"),
        ({'nonsense': 3}, 'backbone cannot be built by timm: .*nonsense'),
        ({'pretrained': True}, r"pretrained cannot load the weights of 'resnet18': .*random weights"),
        ({'checkpoint_path': 'gone.pth'}, r"checkpoint_path cannot load the weights of 'gone.pth'"),
        ({'features_only': False}, 'features_only must be true'),
    ],
)  # fmt: skip
def test_a_wrong_backbone_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    values = model('resnet18')
    values['backbone'] |= change
    with pytest.raises(ConfigError, match=message) as error:
        Segmentor(values, CLASSES)
    assert '\n' not in str(error.value)


def test_a_published_models_normalisation_is_taken() -> None:
    module = Segmentor(model('eva02_tiny_patch14_224', PYRAMID), CLASSES)
    published = timm.get_pretrained_cfg('eva02_tiny_patch14_224')
    torch.testing.assert_close(module.mean, 255 * torch.tensor(published.mean), rtol=0, atol=1e-3)
    torch.testing.assert_close(module.std, 255 * torch.tensor(published.std), rtol=0, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['dinov3', 'dinov3_linear', 'convnextv2', 'swinv2', 'eva02'])
def test_the_shipped_configs_build(name: str) -> None:
    values = load_config(SHIPPED / f'{name}.yaml').values['model']
    values['segmentor']['backbone']['pretrained'] = False
    module = Segmentor(values['segmentor'], CLASSES, optimizer=values['optimizer'], frozen=values.get('frozen')).eval()
    image = torch.zeros(1, 3, 112, 112)  # of patches of 14 and of 16
    assert module.segmentor.encode_decode(image, []).shape == (1, 5, 112, 112)
