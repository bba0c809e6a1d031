"""A DPT of transformers predicts images whose grid of patches is no square."""

import copy
from typing import Any

import pytest
import torch
from models.adapters.tiny import hf
from torch.nn import functional as F

from seglight.models import Segmentor
from seglight.models.fitting import training_size
from seglight.models.inference.logits import encode_decode

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures('offline')]
pytest.importorskip('transformers')


@pytest.fixture
def module() -> Segmentor:
    torch.manual_seed(0)
    return Segmentor(hf('dpt'), list('abcde')).eval()


def by_hand(model: Any, image: torch.Tensor) -> torch.Tensor:
    """The logits from the parts of the model, whose neck takes a height and a width."""
    hidden = model.dpt(image, output_hidden_states=True).hidden_states[1:]
    layers = [hidden[index] for index in model.config.backbone_out_indices]
    grid = [side // model.config.patch_size for side in image.shape[2:]]
    logits: torch.Tensor = model.head(
        model.neck.fusion_stage(
            [
                convolve(each)
                for convolve, each in zip(model.neck.convs, model.neck.reassemble_stage(layers, *grid), strict=True)
            ]
        )
    )
    return logits  # fmt: skip


@pytest.mark.parametrize('size', [(64, 64), (64, 96), (144, 80)], ids=str)
def test_the_neck_has_the_grid_of_the_image(size: tuple[int, int], module: Segmentor) -> None:
    image = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = module.segmentor.encode_decode(image, [])
        expected = F.interpolate(by_hand(module.segmentor.model, image), size, mode='bilinear')
    torch.testing.assert_close(found, expected)


def test_rows_after_the_last_whole_patch_are_predicted_in_place(module: Segmentor) -> None:
    image = torch.randn(2, 3, 131, 75, generator=torch.Generator().manual_seed(0))
    sizes = []
    module.segmentor.model.dpt.register_forward_pre_hook(lambda _, inputs: sizes.append(tuple(inputs[0].shape[2:])))
    with torch.no_grad():
        found = encode_decode(module.segmentor, image)
        assert sizes[-1] == (144, 80)
        expected = module.segmentor.encode_decode(F.pad(image, (0, 5, 0, 13)), [])
    torch.testing.assert_close(found, expected[..., :131, :75])


@pytest.mark.parametrize('size', [(131, 75), (200, 200)], ids=str)
def test_training_pads_to_whole_patches(size: tuple[int, int], module: Segmentor) -> None:
    assert training_size(module.segmentor, torch.zeros(1, 3, *size)) == tuple(-(-side // 16) * 16 for side in size)


def test_a_copy_has_a_grid_of_its_own(module: Segmentor) -> None:
    model = module.segmentor.model
    other = copy.deepcopy(model)
    with torch.no_grad():
        expected = model(pixel_values=torch.ones(1, 3, 32, 64)).logits
        model.neck.register_forward_pre_hook(lambda *_: other(pixel_values=torch.ones(1, 3, 64, 32)) and None)
        torch.testing.assert_close(model(pixel_values=torch.ones(1, 3, 32, 64)).logits, expected)
