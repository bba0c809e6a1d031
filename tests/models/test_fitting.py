"""Images of any size for any segmentor: padded only if a backbone needs it."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch
from mmseg.models.segmentors import BaseSegmentor
from models.test_zoo import SMALLEST, model_dict
from torch import Tensor
from torch.nn import functional as F

from seglight.batch import ImageMeta
from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.fitting import mmseg_meta, shapes_of, takes, training_size
from seglight.models.inference.logits import coarse_logits, image_logits
from seglight.models.inference.options import Options
from seglight.models.inference.views import Views, make_views
from seglight.models.recipe import Recipe

SIZES = [(97, 131), (1, 500), (500, 1)]
NORM = {'type': 'BN', 'requires_grad': True}
HEAD = {'type': 'FCNHead', 'channels': 8, 'num_convs': 1, 'norm_cfg': NORM}

UNET: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'UNet', 'in_channels': 3, 'base_channels': 4, 'norm_cfg': NORM},
    'decode_head': {**HEAD, 'in_channels': 4, 'in_index': 4},
    'auxiliary_head': {**HEAD, 'in_channels': 8, 'in_index': 3},
}
#: Relative position embeddings for a single size.
BEIT: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'BEiT', 'img_size': (64, 96), 'embed_dims': 16, 'num_layers': 1, 'num_heads': 2, 'out_indices': [0]},
    'decode_head': {**HEAD, 'in_channels': 16, 'in_index': 0},
}  # fmt: skip
#: Pools features of 49x49.
LRASPP: dict[str, Any] = {
    'type': 'EncoderDecoder',
    'backbone': {'type': 'MobileNetV3', 'arch': 'small', 'out_indices': (0, 1, 12), 'norm_cfg': NORM},
    'decode_head': {'type': 'LRASPPHead', 'in_channels': (16, 16, 576), 'in_index': (0, 1, 2), 'channels': 16, 'input_transform': 'multiple_select', 'norm_cfg': NORM},
}  # fmt: skip


def built(model: dict[str, Any], **test_cfg: Any) -> BaseSegmentor:
    torch.manual_seed(0)
    test_cfg = test_cfg or {'mode': 'whole'}
    return Recipe({**copy.deepcopy(model), 'test_cfg': test_cfg}).for_data(5).construct().eval()


def by_hand(segmentor: BaseSegmentor, image: Tensor, height: int, width: int) -> Tensor:
    """Pad with zeros to a size that the backbone's documentation asks for, and crop again."""
    whole = F.pad(image, (0, width - image.shape[3], 0, height - image.shape[2]))
    logits: Tensor = segmentor.encode_decode(whole, mmseg_meta(whole))
    return logits[:, :, : image.shape[2], : image.shape[3]]


@pytest.mark.parametrize(
    ('model', 'size', 'needed'),
    [
        (UNET, (97, 131), (112, 144)),  # multiples of 16
        (UNET, (1, 500), (16, 512)),
        (UNET, (96, 131), (96, 144)),
        (UNET, (96, 128), (96, 128)),
        (BEIT, (33, 50), (64, 96)),
        (BEIT, (64, 96), (64, 96)),
        (LRASPP, (97, 401), (400, 401)),  # 49 features at stride 8, 385 pixels, and multiples of 16 are tried
        (TINY_SEGMENTOR, (97, 131), (97, 131)),
        (TINY_SEGMENTOR, (1, 500), (1, 500)),
    ],
)
def test_an_image_is_padded_only_to_the_size_that_the_backbone_needs(
    model: dict[str, Any], size: tuple[int, int], needed: tuple[int, int]
) -> None:
    segmentor = built(model)
    image = torch.randn(2, 3, *size)
    with torch.inference_mode():
        expected = by_hand(segmentor, image, *needed)
        for _ in range(2):  # first found, then cached
            assert torch.equal(image_logits(segmentor, image, size), expected)
        coarse, align_corners = coarse_logits(segmentor, image)
        fine = F.interpolate(coarse, size, mode='bilinear', align_corners=align_corners)
        torch.testing.assert_close(fine, expected)


def test_earlier_images_do_not_matter() -> None:
    sizes = [(97, 131), (64, 64), (50, 131), (16, 8), (97, 64)]
    images = [torch.randn(1, 3, *size) for size in sizes]
    forwards, backwards = built(UNET), built(UNET)
    with torch.inference_mode():
        first = [image_logits(forwards, image, size) for image, size in zip(images, sizes, strict=True)]
        second = [
            image_logits(backwards, image, size) for image, size in reversed(list(zip(images, sizes, strict=True)))
        ]
    for one, other in zip(first, reversed(second), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize('size', [(30, 40), (100, 90), (200, 50), (20, 200)])
def test_a_backbone_with_one_size_processes_larger_images_in_windows(size: tuple[int, int]) -> None:
    image = torch.randn(1, 3, *size)
    with torch.inference_mode():
        seen = image_logits(built(BEIT), image, size)
        slid = image_logits(built(BEIT, mode='slide', crop_size=(64, 96), stride=(42, 64)), image, size)
    assert torch.equal(seen, slid)
    assert seen.isfinite().all()


@pytest.mark.parametrize('test_cfg', [{}, {'mode': 'slide', 'crop_size': (50, 50), 'stride': (30, 30)}])
@pytest.mark.parametrize('model', [UNET, BEIT], ids=['UNet', 'BEiT'])
def test_masks_have_the_size_of_any_image_with_views_and_ensembles(model: dict[str, Any], test_cfg: Any) -> None:
    first, second = (Segmentor({**copy.deepcopy(model), 'test_cfg': test_cfg}, list('abcde')).eval() for _ in range(2))
    for views in (None, Views(make_views([0.5, 1.25], ['horizontal'], [0, 90]))):
        options = Options(views, [(second, 1.0)])
        for size in [(49, 65), (1, 90), (90, 1)]:
            image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
            meta: list[ImageMeta] = [{'path': '', 'name': '', 'original_size': size, 'size': size}]
            with torch.inference_mode():
                (prediction,) = first.predict({'image': image, 'meta': meta}, options)
            assert tuple(prediction.mask.shape) == size


def state(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_trying_a_size_changes_no_state() -> None:
    segmentor = built(UNET).train()
    segmentor.backbone.encoder[0].eval()  # like a frozen part
    modes = [part.training for part in segmentor.modules()]
    image, before, random = torch.randn(2, 3, 100, 120), state(segmentor), torch.get_rng_state()
    assert training_size(segmentor, image) == (112, 128)
    assert [part.training for part in segmentor.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in segmentor.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize('autocast', [False, True])
def test_a_training_step_with_an_odd_crop_is_that_of_padded_and_ignored_pixels(
    autocast: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def gradients(side: int, padding: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module = Segmentor(copy.deepcopy(UNET), list('abcde')).train()
        batch = random_batch(2, side)
        batch['image'] = F.pad(batch['image'], (0, padding, 0, padding))
        batch['mask'] = F.pad(batch['mask'], (0, padding, 0, padding), value=255)
        with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
            losses = module.losses(batch)
        torch.stack(
            [torch.as_tensor(value).mean() for name, value in losses.items() if 'loss' in name]
        ).sum().backward()
        return {name: value.grad for name, value in module.named_parameters() if value.grad is not None}

    odd, even = gradients(50, 0), gradients(50, 14)
    line = 'Padding    UNet cannot take 50x50 pixels: batches are padded to 64x64, and the loss ignores the padding'
    assert capsys.readouterr().out.count(line) == 1
    assert odd.keys() == even.keys()
    assert len(odd) > 20
    for name, value in odd.items():
        torch.testing.assert_close(value, even[name])


def test_a_crop_larger_than_the_one_size_of_a_backbone_is_refused_in_the_first_step() -> None:
    module = Segmentor(copy.deepcopy(BEIT), list('abcde')).train()
    with pytest.raises(ConfigError, match=r'data.train_transforms must give images of 96x64 pixels, the only size that BEiT takes, got 128x128; crop to height 64, width 96') as error:  # fmt: skip
        module.losses(random_batch(2, 128))
    assert error.value.key == 'data.train_transforms'


def test_parts_that_do_not_fit_are_reported_at_any_size() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['in_channels'] = 32
    with pytest.raises(
        ConfigError, match=r'cannot take these images: Given groups=1.*neither 70x60 pixels nor.*--debug'
    ):
        image_logits(built(model), torch.randn(1, 3, 60, 70), (60, 70))


@pytest.mark.parametrize(
    'error',
    [
        torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError('DataLoader worker (pid 5) is killed by signal: Killed. '),
    ],
)
def test_an_error_of_the_machine_is_not_taken_for_a_wrong_size(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmentor = built(TINY_SEGMENTOR)
    calls: list[int] = []

    def full(*_: Any) -> Tensor:
        calls.append(1)
        raise error

    monkeypatch.setattr(segmentor, 'encode_decode', full)
    with pytest.raises(type(error)) as raised:
        image_logits(segmentor, torch.randn(1, 3, 60, 70), (60, 70))
    assert raised.value is error
    assert calls == [1]


@pytest.fixture(scope='module', params=sorted(SMALLEST))
def family(request: pytest.FixtureRequest) -> Iterator[tuple[str, BaseSegmentor]]:
    """The smallest model of each family of mmseg's zoo."""
    torch.manual_seed(0)
    model = model_dict(SMALLEST[request.param])
    if request.param in FIXED:
        model['backbone'] |= {'num_layers': 4, 'out_indices': [0, 1, 2, 3]}
        for head in (model['decode_head'], model['auxiliary_head']):
            head['channels'] = 16
    yield request.param, Recipe(model).for_data(5).construct().eval()


#: Families of transformers with one size, of which four layers and few channels are enough here: whole ones take
#: minutes for 640x640 pixels.
FIXED = ('beit', 'mae')


#: What each family pads images of `SIZES` to; other families pad nothing.
PADDED: dict[str, list[tuple[int, int]]] = {
    'beit': [(640, 640)] * 3,
    'mae': [(512, 512)] * 3,
    'mobilenet_v3': [(400, 400), (400, 500), (500, 400)],
    'unet': [(112, 144), (16, 512), (512, 16)],
    **{name: [(97, 131), (32, 500), (500, 32)] for name in ('convnext', 'segformer', 'twins')},
    **{name: [(97, 131), (16, 500), (500, 16)] for name in ('erfnet', 'icnet', 'poolformer')},
}


@pytest.mark.slow
def test_each_family_of_the_zoo_takes_an_image_of_any_size(family: tuple[str, BaseSegmentor]) -> None:
    name, segmentor = family
    for size, needed in zip(SIZES, PADDED.get(name, SIZES), strict=True):
        image = torch.randn(1, 3, *size)
        segmentor.test_cfg.mode = 'whole'
        assert takes(segmentor, image, size) == (needed == size)  # from the shapes alone
        assert shapes_of(segmentor) is not None
        with torch.inference_mode():
            logits = image_logits(segmentor, image, size)
            assert tuple(logits.shape) == (1, 5, *size)
            torch.testing.assert_close(logits, by_hand(segmentor, image, *needed))
        assert logits.isfinite().all()


def test_the_validation_loss_of_a_resized_image_is_that_of_its_whole_mask() -> None:
    """Where the transforms make an image smaller than its mask, and the backbone takes neither size."""
    torch.manual_seed(0)
    module = Segmentor({**copy.deepcopy(UNET), 'test_cfg': {'mode': 'whole'}}, ['a', 'b', 'c']).eval()
    batch = random_batch(1, classes=3)
    batch['image'] = torch.randint(0, 256, (1, 3, 50, 70), dtype=torch.uint8)
    batch['mask'] = torch.randint(0, 3, (1, 100, 140), dtype=torch.uint8)
    batch['meta'][0] |= {'size': (50, 70), 'original_size': (100, 140)}
    image = (batch['image'].float() - module.mean.view(3, 1, 1)) / module.std.view(3, 1, 1)
    mask = F.pad(batch['mask'], (0, 160 - 140, 0, 128 - 100), value=255)
    expected = module.segmentor.forward_train(F.pad(image, (0, 10, 0, 14)), [{}], mask[:, None].long())
    found = module.losses(batch)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
