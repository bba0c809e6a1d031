"""What is known before the first training batch, compared with a real one."""

from __future__ import annotations

import copy
import gc
import re
import weakref
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch
from mmseg.models.backbones import ResNetV1c
from mmseg.models.builder import BACKBONES
from models.test_fitting import BEIT, HEAD, NORM, UNET
from torch import Tensor

from seglight.errors import ConfigError, UserError
from seglight.models import Segmentor
from seglight.models.first_batch import check_first_batch, loss_names
from seglight.models.fitting import mmseg_meta

PSP: dict[str, Any] = {
    **TINY_SEGMENTOR,
    'decode_head': {**HEAD, 'type': 'PSPHead', 'in_channels': 64, 'in_index': 3, 'pool_scales': (1, 2)},
}
del PSP['decode_head']['num_convs']


def module_of(model: dict[str, Any], classes: int = 5) -> Segmentor:
    torch.manual_seed(0)
    return Segmentor(copy.deepcopy(model), list('abcdefg')[:classes])


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ('model', 'images', 'size', 'needed'),
    [
        (TINY_SEGMENTOR, 2, (48, 64), (48, 64)),
        (TINY_SEGMENTOR, 2, (1, 500), (1, 500)),
        (UNET, 2, (33, 50), (48, 64)),
        (UNET, 2, (1, 500), (16, 512)),
        (BEIT, 2, (64, 96), (64, 96)),
        (BEIT, 2, (30, 31), (64, 96)),
        (PSP, 2, (64, 64), (64, 64)),
    ],
)
def test_a_size_that_passes_the_check_trains(
    model: dict[str, Any], images: int, size: tuple[int, int], needed: tuple[int, int]
) -> None:
    module = module_of(model).train()
    before, random = state(module), torch.get_rng_state()
    modes = [part.training for part in module.modules()]
    assert check_first_batch(module.segmentor, images, size) == needed
    assert torch.equal(torch.get_rng_state(), random)
    assert [part.training for part in module.modules()] == modes
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    image = torch.randn(images, 3, *needed)
    losses = module.segmentor.forward_train(image, mmseg_meta(image), torch.zeros(images, 1, *needed).long())
    assert all(value.isfinite().all() for value in losses.values())


def test_a_batch_of_one_value_per_channel_is_rejected_as_batchnorm_does() -> None:
    module = module_of(PSP).train()
    with pytest.raises(UserError, match=r'BatchNorm cannot train on one value per channel.*set data.batch_size to 2'):
        check_first_batch(module.segmentor, 1, (64, 64))
    image = torch.randn(1, 3, 64, 64)
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        module.segmentor.forward_train(image, mmseg_meta(image), torch.zeros(1, 1, 64, 64).long())


def test_a_size_that_a_backbone_cannot_have_is_rejected_with_the_only_one() -> None:
    message = re.escape('must give images of 96x64 pixels, the only size that BEiT takes, got 500x1')
    larger = re.escape('must give images of 96x64 pixels, the only size that BEiT takes, got 128x128')
    with pytest.raises(ConfigError, match=larger):
        check_first_batch(module_of(BEIT).segmentor, 2, (128, 128))
    with pytest.raises(ConfigError, match=message):
        check_first_batch(module_of(BEIT).segmentor, 2, (1, 500))


@BACKBONES.register_module()
class ReadsItsImage(ResNetV1c):  # type: ignore[misc]  # mmseg has no types
    """Chooses by a value, so that its shapes alone do not run it."""

    def forward(self, x: Tensor) -> Any:
        if x.sum().item() > 1e9:
            raise ValueError
        return super().forward(x)


def test_a_backbone_that_reads_values_is_tried_itself() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['backbone']['type'] = 'ReadsItsImage'
    module = module_of(model)
    assert check_first_batch(module.segmentor, 1, (50, 60)) == (50, 60)
    assert loss_names(module.segmentor) is None
    assert module.training_figures() is None


CASCADE: dict[str, Any] = {
    **TINY_SEGMENTOR,
    'type': 'CascadeEncoderDecoder',
    'num_stages': 2,
    'decode_head': [
        {**HEAD, 'in_channels': 64, 'in_index': 3},
        {**HEAD, 'type': 'OCRHead', 'in_channels': 64, 'in_index': 3, 'ocr_channels': 8, 'norm_cfg': NORM},
    ],
}
del CASCADE['decode_head'][1]['num_convs']
TWO_LOSSES = copy.deepcopy(TINY_SEGMENTOR)
TWO_LOSSES['decode_head']['loss_decode'] = [
    {'type': 'CrossEntropyLoss', 'loss_name': 'loss_ce', 'class_weight': 'balanced'},
    {'type': 'MaskedDiceLoss', 'loss_name': 'loss_dice'},
]
TWO_LOSSES['decode_head']['sampler'] = {'type': 'OHEMPixelSampler', 'thresh': 0.7, 'min_kept': 100}
BINARY = copy.deepcopy(TINY_SEGMENTOR)
for head in (BINARY['decode_head'], BINARY['auxiliary_head']):
    head |= {'out_channels': 1, 'loss_decode': {'type': 'CrossEntropyLoss', 'use_sigmoid': True}}


@pytest.mark.parametrize('model', [TINY_SEGMENTOR, UNET, CASCADE, TWO_LOSSES, BINARY, BEIT])
def test_loss_items_are_those_of_a_real_step(model: dict[str, Any]) -> None:
    classes = 2 if model is BINARY else 5
    module = module_of(model, classes).train()
    names = loss_names(module.segmentor)
    batch = random_batch(2, 64, classes)
    if model is BEIT:
        batch['image'], batch['mask'] = (
            batch['image'].repeat(1, 1, 1, 2)[..., :96],
            batch['mask'].repeat(1, 1, 2)[..., :96],
        )
    assert names == list(module.losses(batch))
    assert module.training_figures() == ['loss', *names]


@pytest.mark.parametrize('model', [TINY_SEGMENTOR, UNET, BEIT, PSP], ids=['FCN', 'UNet', 'BEiT', 'PSPNet'])
def test_what_was_tried_on_a_segmentor_does_not_keep_it(model: dict[str, Any]) -> None:
    module = module_of(model)
    kept = weakref.ref(module.segmentor)
    check_first_batch(module.segmentor, 2, (64, 96))
    assert loss_names(module.segmentor)
    del module
    gc.collect()
    assert kept() is None
