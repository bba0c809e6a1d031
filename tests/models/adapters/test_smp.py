"""Architectures of segmentation_models_pytorch train with losses of mmseg or smp, and predict its logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import random_batch
from models.adapters.tiny import smp

from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.adapters.smp import ARCHITECTURES
from seglight.models.loss_items import mean, total

pytestmark = pytest.mark.extras
library: Any = pytest.importorskip('segmentation_models_pytorch')

CLASSES = list('abcde')


@pytest.mark.slow
@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_every_architecture_gives_smps_logits(arch: str) -> None:
    encoder = 'tu-vit_tiny_patch16_224' if arch == 'DPT' else 'resnet18'
    side = 224 if arch == 'DPT' else 128
    module = Segmentor(smp(arch, encoder), CLASSES).eval()
    model = getattr(library, arch)(encoder, encoder_weights=None, classes=5).eval()
    model.load_state_dict(module.segmentor.model.state_dict())
    image = torch.randn(1, 3, side, side)
    with torch.no_grad():
        torch.testing.assert_close(module.segmentor.encode_decode(image, []), model(image))
    batch = random_batch(2, side)
    losses = module.train().losses(batch)
    total({name: mean(value) for name, value in losses.items()}).backward()


def test_the_default_loss_is_cross_entropy() -> None:
    module = Segmentor(smp(), CLASSES).eval()
    batch = random_batch(2, 64)
    batch['mask'][:, :32] = 255
    logits = module.segmentor.logits(module._normalize(batch['image'], [(64, 64)] * 2))
    # mmseg divides by all pixels, the ignored ones too.
    expected = torch.nn.functional.cross_entropy(logits, batch['mask'].long(), ignore_index=255) / 2
    torch.testing.assert_close(module.losses(batch)['decode.loss_ce'], expected)


def test_smps_losses_by_class_path() -> None:
    loss = {'type': 'segmentation_models_pytorch.losses.DiceLoss', 'mode': 'multiclass', 'ignore_index': 255}
    module = Segmentor(smp(loss_decode=loss), CLASSES).eval()
    batch = random_batch(2, 64)
    batch['mask'][:, :32] = 255
    logits = module.segmentor.logits(module._normalize(batch['image'], [(64, 64)] * 2))
    expected = library.losses.DiceLoss('multiclass', ignore_index=255)(logits, batch['mask'].long())
    torch.testing.assert_close(module.losses(batch)['decode.loss_dice'], expected)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (smp('Unett'), "arch must be one of .* got 'Unett'; did you mean 'Unet'"),
        (smp(encoder='resnet19'), "encoder_name: smp has no encoder 'resnet19'; did you mean 'resnet18'"),
        (smp(encoder='tu-resnet19'), "encoder_name: smp has no encoder 'tu-resnet19'; did you mean 'tu-resnet18'"),
        (smp(encoder='tu-resnet18.a9_in1k'), "cannot be built by smp: .*a9_in1k"),
        (smp(decoder_chanels=[8]), "decoder_chanels: smp's Unet has no argument 'decoder_chanels'; did you mean 'decoder_channels'"),
        (smp(classes=3), 'classes is set here from the classes of the data'),
        (smp(activation='softmax'), 'activation is set here from none'),
        (smp(decoder_channels=[8]), 'cannot be built by smp'),
        (smp(loss_decode={'type': 'CrossEntropyLos'}), "loss_decode.type: mmseg has no 'CrossEntropyLos'"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_refused_in_one_line(model: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Segmentor(model, CLASSES)
    assert '\n' not in str(error.value)


def test_weights_that_cannot_be_fetched(offline: None) -> None:
    with pytest.raises(ConfigError, match=r"encoder_weights cannot load 'imagenet': .*null starts from random weights"):
        Segmentor(smp(encoder_weights='imagenet'), CLASSES)


def test_the_weights_of_the_encoder_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    encoders = library.encoders
    published = {
        name: torch.full_like(value, 3) for name, value in encoders.get_encoder('resnet18').state_dict().items()
    }
    original = encoders.get_encoder

    def fetching(*args: Any, weights: str | None = None, **kwargs: Any) -> Any:
        encoder = original(*args, weights=None, **kwargs)
        if weights == 'imagenet':
            encoder.load_state_dict(published)
        return encoder

    monkeypatch.setattr('segmentation_models_pytorch.decoders.unet.model.get_encoder', fetching)
    module = Segmentor(smp(encoder_weights='imagenet'), CLASSES)
    assert all((value == 3).all() for value in module.segmentor.model.encoder.state_dict().values())
    assert not all((value == 3).all() for value in module.segmentor.model.decoder.state_dict().values())
