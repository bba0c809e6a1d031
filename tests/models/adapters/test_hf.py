"""Segmentors of transformers train with their own losses and predict the masks that transformers predicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import random_batch
from models.adapters.tiny import MASKS, PIXELS, hf
from torch import nn

import seglight
from seglight.errors import ConfigError, UsageError
from seglight.models import Segmentor
from seglight.models.inference.logits import encode_decode

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures('offline')]
transformers: Any = pytest.importorskip('transformers')

CLASSES = list('abcde')

#: Seeds with which the masks of a random model show more than one class.
SEEDS = {'eomt': 7, 'eomt_dinov3': 3, 'mask2former': 9, 'maskformer': 7}
IMAGENET = [123.675, 116.28, 103.53]


def original(kind: str, classes: int = 5) -> nn.Module:
    """A model as transformers builds it, with weights large enough for several classes in its masks."""
    torch.manual_seed(SEEDS.get(kind, 0))
    config = transformers.AutoConfig.for_model(kind, **{**PIXELS, **MASKS}[kind], num_labels=classes)
    auto = transformers.AutoModelForUniversalSegmentation if kind in MASKS else None
    model: nn.Module = (auto or transformers.AutoModelForSemanticSegmentation).from_config(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.3)
    return model


def same_weights(module: Segmentor, model: nn.Module) -> None:
    module.segmentor.model.load_state_dict(model.state_dict())


@pytest.mark.parametrize('kind', PIXELS)
def test_the_loss_and_its_gradient_are_the_models_own(kind: str) -> None:
    model, module = original(kind), Segmentor(hf(kind), CLASSES)
    same_weights(module, model)
    batch = random_batch(2, 64)
    batch['mask'][:, :9] = 255
    torch.manual_seed(1)
    (mine,) = module.train().losses(batch).values()
    assert isinstance(mine, torch.Tensor)
    mine.backward()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET, [58.395, 57.12, 57.375]))
    image = module._normalize(batch['image'], [(64, 64)] * 2)  # the same strides, which change the rounding
    torch.testing.assert_close(image, (batch['image'] - mean) / std)
    torch.manual_seed(1)
    theirs = model.train()(pixel_values=image, labels=batch['mask'].long()).loss
    theirs.backward()
    torch.testing.assert_close(mine, theirs)
    for name, weights in model.named_parameters():
        gradient = module.segmentor.model.get_parameter(name).grad
        assert (gradient is None) == (weights.grad is None)
        if gradient is not None:
            torch.testing.assert_close(gradient, weights.grad)


def test_ignored_pixels_have_no_share_in_the_loss() -> None:
    module = Segmentor(hf('segformer'), CLASSES, ignore_index=77).eval()
    batch = random_batch(2, 64)
    batch['mask'][:, :32] = 77
    losses = module.losses(batch)
    images = module._normalize(batch['image'], [(64, 64)] * 2)
    logits = nn.functional.interpolate(module.segmentor.logits(images), (64, 64), mode='bilinear')
    counted = nn.functional.cross_entropy(logits[:, :, 32:], batch['mask'][:, 32:].long())
    torch.testing.assert_close(losses['decode.loss'], counted)


@pytest.mark.parametrize('kind', MASKS)
def test_masks_are_learnt_from_the_classes_of_each_image(kind: str) -> None:
    module = Segmentor(hf(kind), CLASSES, ignore_index=77)
    seen: dict[str, Any] = {}
    module.segmentor.model.register_forward_pre_hook(lambda *call: seen.update(call[2]), with_kwargs=True)
    batch = random_batch(2, 64)
    batch['mask'][0], batch['mask'][1, :, :32], batch['mask'][1, :, 32:] = 77, 4, 77
    batch['mask'][0, :10, :20], batch['mask'][0, 20:30] = 0, 3
    loss = module.train().losses(batch)['decode.loss']
    assert isinstance(loss, torch.Tensor)
    assert loss.isfinite().all()
    loss.mean().backward()
    assert [labels.tolist() for labels in seen['class_labels']] == [[0, 3], [4]]
    assert [masks.sum((1, 2)).tolist() for masks in seen['mask_labels']] == [[200, 640], [2048]]
    assert all(masks.unique().tolist() == [0, 1] for masks in seen['mask_labels'])


def test_an_image_without_labels_has_a_finite_loss() -> None:
    module = Segmentor(hf('mask2former'), CLASSES).train()
    batch = random_batch(2, 64)
    batch['mask'][0] = 255
    loss = module.losses(batch)['decode.loss']
    assert isinstance(loss, torch.Tensor)
    assert loss.isfinite().all()


@pytest.mark.parametrize('kind', MASKS)
def test_masks_equal_those_of_transformers(kind: str) -> None:
    model, module = original(kind), Segmentor(hf(kind), CLASSES)
    same_weights(module, model)
    model.eval()
    module.eval()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        outputs, mine = model(pixel_values=image), module.segmentor.encode_decode(image, []).argmax(1)
    size = {'size': {'shortest_edge': 64, 'longest_edge': 64}} if kind.startswith('eomt') else {}
    processor = 'Eomt' if kind.startswith('eomt') else {'mask2former': 'Mask2Former', 'maskformer': 'MaskFormer'}[kind]
    cls = getattr(transformers, f'{processor}ImageProcessor')
    theirs = torch.stack(cls().post_process_semantic_segmentation(outputs, target_sizes=[(64, 64)] * 2, **size))
    assert len(theirs.unique()) > 1
    assert torch.equal(mine, theirs)


@pytest.mark.parametrize('kind', ['eomt', 'eomt_dinov3'])
def test_a_small_image_keeps_the_place_of_its_patch(kind: str) -> None:
    module = Segmentor(hf(kind), CLASSES)
    same_weights(module, original(kind))
    module.eval()
    image = torch.randn(2, 3, 24, 31, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = encode_decode(module.segmentor, image)
        expected = module.segmentor.encode_decode(nn.functional.pad(image, (0, 33, 0, 40)), [])
    torch.testing.assert_close(found, expected[..., :24, :31])


@pytest.mark.parametrize('kind', ['eomt', 'eomt_dinov3'])
def test_as_many_patches_in_other_places_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match='must get images of 64x64, got 128x32'):
        Segmentor(hf(kind), CLASSES).eval().segmentor.encode_decode(torch.zeros(1, 3, 32, 128), [])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of seven classes and its image processor, as `save_pretrained` writes them."""
    original('segformer', 7).save_pretrained(tmp_path / 'model')  # type: ignore[operator]
    processor = transformers.SegformerImageProcessor(image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7])
    processor.save_pretrained(tmp_path / 'model')
    return tmp_path / 'model'


def test_a_named_model_gives_weights_configuration_and_normalisation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = Segmentor({'type': 'HFSegmentor', 'name': str(folder)}, CLASSES)
    mine, theirs = module.segmentor.model.state_dict(), original('segformer', 7).state_dict()
    differ = {name for name in mine if mine[name].shape != theirs[name].shape or not mine[name].equal(theirs[name])}
    assert differ == {'decode_head.classifier.weight', 'decode_head.classifier.bias'}
    torch.testing.assert_close(module.mean, torch.tensor([25.5, 51.0, 76.5]))
    torch.testing.assert_close(module.std, torch.tensor([127.5, 153.0, 178.5]))
    printed = capsys.readouterr()
    assert f'{len(mine) - 2} of {len(mine)} tensors from {folder}' in printed.out
    assert 'random: decode_head.classifier.bias, decode_head.classifier.weight' in printed.out
    assert 'LOAD REPORT' not in printed.out + printed.err


def test_a_model_of_bgr_images_gets_the_channels_in_its_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {'hidden_sizes': [16, 24, 24], 'neck_hidden_sizes': [8, 8, 16, 16, 24, 24, 32], 'aspp_out_channels': 16}
    config = transformers.MobileViTConfig(**sizes, num_labels=len(CLASSES))
    model = transformers.MobileViTForSemanticSegmentation(config).eval()
    model.save_pretrained(tmp_path / 'model')
    processor = transformers.MobileViTImageProcessor(do_resize=False, do_center_crop=False)
    processor.save_pretrained(tmp_path / 'model')
    module = Segmentor({'type': 'HFSegmentor', 'name': str(tmp_path / 'model')}, CLASSES).eval()
    image = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model.mobilevit.conv_stem(processor(image, return_tensors='pt')['pixel_values'])
        found = module.segmentor.model.mobilevit.conv_stem(module._normalize(image))
        other = model.mobilevit.conv_stem(image / 255)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(other, expected, atol=1e-3)
    same = [each.equal(own) for each, own in zip(model.parameters(), module.segmentor.model.parameters(), strict=True)]
    assert same.count(False) == 1


def test_a_checkpoint_needs_the_named_model_no_more(folder: Path, tmp_path: Path, no_network: list[str]) -> None:
    module = Segmentor({'type': 'HFSegmentor', 'name': str(folder)}, CLASSES)
    checkpoint = {'hyper_parameters': dict(module.hparams), 'state_dict': module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, tmp_path / 'a.ckpt')
    for file in folder.iterdir():
        file.unlink()
    loaded = seglight.load(tmp_path / 'a.ckpt', 'cpu').module
    assert all(loaded.state_dict()[name].equal(value) for name, value in module.state_dict().items())
    torch.testing.assert_close(loaded.mean, module.mean)
    assert no_network == []


@pytest.mark.parametrize('written', ['{}/modle', './modle', 'modle', 'runs/modle'])
def test_a_typo_in_a_folder_names_the_nearest(written: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / 'runs').mkdir()
    folder.rename(folder.parent / 'runs' / 'model') if written.startswith('runs') else None
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ConfigError, match=r"model\.segmentor\.name.*; did you mean '.*model'\?") as error:
        Segmentor({'type': 'HFSegmentor', 'name': written.format(folder.parent)}, CLASSES)
    assert '\n' not in str(error.value)


def test_a_folder_without_a_model_is_one_line(folder: Path) -> None:
    (folder / 'config.json').unlink()
    with pytest.raises(ConfigError, match=r"model\.segmentor\.name cannot load '.*': .*config\.json") as error:
        Segmentor({'type': 'HFSegmentor', 'name': str(folder)}, CLASSES)
    assert '\n' not in str(error.value)


def test_a_named_model_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path) -> None:
    transformers.OneFormerConfig().save_pretrained(tmp_path / 'oneformer')
    transformers.BertConfig().save_pretrained(tmp_path / 'bert')
    for kind, message in {
        'oneformer': r'segmentor\.name cannot be oneformer, which needs a text that names the task with each image',
        'bert': r"segmentor\.name must be of the type beit, .*, got 'bert'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            Segmentor({'type': 'HFSegmentor', 'name': str(tmp_path / kind)}, CLASSES)


def test_pickled_weights_are_refused(folder: Path) -> None:
    weights = original('segformer').state_dict()
    torch.save(weights, folder / 'pytorch_model.bin')
    (folder / 'model.safetensors').unlink()
    with pytest.raises(ConfigError, match=r'model\.segmentor\.name cannot load .*safetensors'):
        Segmentor({'type': 'HFSegmentor', 'name': str(folder)}, CLASSES)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        ({}, 'model.segmentor needs `name`'),
        ({'config': {'model_type': 'segfromer'}}, "config.model_type must be one of .*'segfromer'; did you mean 'segformer'"),
        ({'config': {'model_type': 'bert'}}, "config.model_type must be one of .* got 'bert'"),
        ({'config': {'model_type': 'oneformer'}}, 'config.model_type cannot be oneformer, which needs a text that names the task'),
        ({'config': {'model_type': 'segformer', 'dephts': [1]}}, "config.dephts: segformer has no argument 'dephts'; did you mean 'depths'"),
        ({'config': {'model_type': 'segformer', 'depths': 'deep'}}, 'config is refused by transformers: .*depths'),
        ({'config': {'model_type': 'upernet', 'backbone_config': {'model_type': 'convnex'}}}, "backbone_config.model_type: transformers has no 'convnex'; did you mean 'convnext'"),
        ({'config': {'model_type': 'eomt', **MASKS['eomt']}, 'loss_decode': {'type': 'CrossEntropyLoss'}}, 'loss_decode: eomt trains with its own loss'),
        ({'name': 'nobody/nothing'}, r"model.segmentor.name cannot load 'nobody/nothing': .*give a folder"),
        ({'name': 'nvidia/segfromer-b0-finetuned-ade-512-512'}, "name cannot load '.*'; did you mean 'nvidia/segformer-b0-finetuned-ade-512-512'. "),
        ({'name': '/nowhere/model'}, r"model\.segmentor\.name: '/nowhere/model' is not a folder$"),
        ({'nam': 'nobody/nothing'}, "HFSegmentor has no argument 'nam'; did you mean 'name'"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_refused_in_one_line(model: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, UsageError), match=message) as error:
        Segmentor({'type': 'HFSegmentor', **model}, CLASSES)
    assert '\n' not in str(error.value)


def test_mmsegs_losses_may_replace_the_models_own() -> None:
    loss = [
        {'type': 'DiceLoss', 'loss_name': 'loss_dice'},
        {'type': 'CrossEntropyLoss', 'class_weight': [1, 2, 3, 4, 5]},
    ]
    module = Segmentor(hf('segformer', loss_decode=loss), CLASSES).train()
    losses = module.losses(random_batch(2, 64))
    assert {'decode.loss_dice', 'decode.loss_ce', 'decode.acc_seg'} == set(losses)


def test_without_the_extra_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__('sys').modules, 'transformers', None)
    with pytest.raises(
        ConfigError, match=r"needs transformers, which is not installed: pip install 'seglight\[transformers\]'"
    ):
        Segmentor(hf('segformer'), CLASSES)
