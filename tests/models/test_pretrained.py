"""Weights that a config names must reach the model."""

import copy
from pathlib import Path

import pytest
import torch
from conftest import TINY_SEGMENTOR

from seglight.errors import ConfigError
from seglight.models import building


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """A file of the weights of the tiny segmentor's backbone, as a converter writes them."""
    weights = building.build(TINY_SEGMENTOR, 3).backbone.state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'r18.pth')
    return tmp_path / 'r18.pth'


def test_weights_of_the_same_architecture_are_loaded(backbone: Path) -> None:
    built = building.build({**TINY_SEGMENTOR, 'pretrained': str(backbone)}, 3)
    expected = torch.load(backbone, weights_only=True)['state_dict']
    assert all(torch.equal(value, expected[name]) for name, value in built.backbone.state_dict().items())


@pytest.mark.parametrize('where', ['pretrained', 'init_cfg'])
def test_weights_of_which_nothing_fits_are_refused(backbone: Path, where: str) -> None:
    other = copy.deepcopy(TINY_SEGMENTOR)
    other['backbone'].update(base_channels=16, stem_channels=16)  # type: ignore[attr-defined]
    other['decode_head']['in_channels'], other['auxiliary_head']['in_channels'] = 128, 64  # type: ignore[index]
    if where == 'pretrained':
        other['pretrained'] = str(backbone)
    else:
        other['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': str(backbone)}  # type: ignore[index]
    with pytest.raises(ConfigError, match=r'nothing in .*r18\.pth fits the ResNetV1c'):
        building.build(other, 3)
