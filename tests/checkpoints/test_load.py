"""Weights of many kinds of files are taken into a segmentor, and what is not taken is told."""

import copy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from conftest import TINY_SEGMENTOR
from mmseg.models import build_backbone
from safetensors.torch import save_file
from scipy.interpolate import interp2d
from torch import Tensor, nn

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.load import load_weights
from seglight.errors import CheckpointError
from seglight.models.recipe import Recipe


@pytest.fixture(scope='module')
def source() -> Any:
    torch.manual_seed(1)
    return Recipe(TINY_SEGMENTOR).for_data(11).build()


@pytest.fixture
def segmentor() -> Any:
    torch.manual_seed(2)
    return Recipe(TINY_SEGMENTOR).for_data(11).build()


def equal(first: dict[str, Tensor], second: dict[str, Tensor], prefix: str = '') -> bool:
    return all(torch.equal(first[name], second[name]) for name in second if name.startswith(prefix))


@pytest.mark.parametrize('prefix', ['', 'module.', 'segmentor.', 'model.', 'module.model.', 'model.segmentor.'])
@pytest.mark.parametrize('entry', ['state_dict', 'model', None])
def test_known_prefixes_are_stripped(
    source: nn.Module, segmentor: nn.Module, tmp_path: Path, prefix: str, entry: str | None
) -> None:
    weights = {prefix + name: value for name, value in source.state_dict().items()}
    torch.save({entry: weights, 'meta': {}} if entry else weights, tmp_path / 'a.pth')
    result = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))
    assert equal(segmentor.state_dict(), source.state_dict())
    assert len(result.loaded) == len(weights)
    assert not result.missing + result.unexpected + result.mismatched


def test_safetensors_are_loaded(source: Any, segmentor: nn.Module, tmp_path: Path) -> None:
    save_file(source.state_dict(), tmp_path / 'a.safetensors')
    load_weights(segmentor, Checkpoint(tmp_path / 'a.safetensors', mapped=True))
    assert equal(segmentor.state_dict(), source.state_dict())


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'module.', 'model.backbone.', 'module.encoder.'])
def test_weights_of_a_backbone_alone(source: Any, segmentor: nn.Module, tmp_path: Path, prefix: str) -> None:
    weights = {prefix + name: value for name, value in source.backbone.state_dict().items()}
    weights['head.fc.weight'] = torch.ones(2, 3)
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    result = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))
    assert equal(segmentor.state_dict(), source.state_dict(), 'backbone.')
    assert result.unexpected == ['head.fc.weight']
    assert len(result.loaded) == len(weights) - 1
    assert all(name.split('.')[0] in ('decode_head', 'auxiliary_head') for name in result.missing)


def test_heads_for_other_classes_are_reported(source: nn.Module, tmp_path: Path) -> None:
    torch.save({'state_dict': source.state_dict()}, tmp_path / 'a.pth')
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
    before = copy.deepcopy(segmentor.state_dict())
    result = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))
    heads = ['decode_head', 'auxiliary_head']
    assert sorted(line.split()[0] for line in result.mismatched) == sorted(
        f'{head}.conv_seg.{kind}' for head in heads for kind in ('weight', 'bias')
    )
    assert 'decode_head.conv_seg.weight [11, 16, 1, 1] in the file, [5, 16, 1, 1] here' in result.table()
    assert equal(segmentor.state_dict(), before, 'decode_head.conv_seg')
    assert equal(segmentor.state_dict(), source.state_dict(), 'backbone.')


def test_the_table_counts_every_outcome(source: Any, segmentor: nn.Module, tmp_path: Path) -> None:
    weights = {name: value for name, value in source.state_dict().items() if not name.startswith('auxiliary_head')}
    torch.save({'state_dict': {**weights, 'teacher.weight': torch.ones(1)}}, tmp_path / 'a.pth')
    lines = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True)).table().splitlines()
    rows = [line.split() for line in lines[1:] if line[2] != ' ']  # the others go on with the names of a row
    counts = {row[0]: row[1] for row in rows}
    assert counts == {
        'loaded': str(len(weights)),
        'resized': '0',
        'missing': str(len(segmentor.state_dict()) - len(weights)),
        'unexpected': '1',
        'mismatched': '0',
    }
    assert ['unexpected', '1', 'teacher.weight'] in rows


def test_loading_nothing_is_an_error(segmentor: nn.Module, tmp_path: Path) -> None:
    torch.save({'state_dict': {'lstm.weight': torch.ones(3)}}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r"no weights for this model: its names are like 'lstm\.weight'"):
        load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))


VIT = {
    'type': 'VisionTransformer', 'img_size': (64, 64), 'patch_size': 16, 'embed_dims': 8, 'num_layers': 1,
    'num_heads': 2, 'out_indices': (0,),
}  # fmt: skip
BEIT = {
    'type': 'BEiT', 'img_size': (64, 64), 'patch_size': 16, 'embed_dims': 8, 'num_layers': 1, 'num_heads': 2,
    'out_indices': (0,),
}  # fmt: skip
SWIN = {
    'type': 'SwinTransformer', 'embed_dims': 8, 'depths': (1, 1), 'num_heads': (2, 2), 'strides': (4, 2),
    'out_indices': (0, 1), 'window_size': 4,
}  # fmt: skip


def interp2d_is_gone() -> bool:
    """Tell whether SciPy is 1.14 or later and nothing stands in for the function that mmseg's BEiT calls."""
    try:
        interp2d(range(4), range(4), [range(4)] * 4, kind='cubic')
    except NotImplementedError:
        return True
    return False


without_interp2d = pytest.mark.skipif(interp2d_is_gone(), reason='mmseg needs interp2d to resize BEiT')


@pytest.mark.parametrize(
    ('config', 'change'),
    [
        pytest.param(VIT, {'img_size': (96, 128)}, id='ViT'),
        pytest.param(BEIT, {'img_size': (96, 96)}, id='BEiT', marks=without_interp2d),
        pytest.param(SWIN, {'window_size': 7}, id='Swin'),
    ],
)
def test_position_embeddings_are_resized_as_mmseg_does(
    tmp_path: Path, config: dict[str, Any], change: dict[str, Any]
) -> None:
    torch.manual_seed(3)
    weights = {name: torch.rand_like(value) if value.is_floating_point() else value
               for name, value in build_backbone(config).state_dict().items()}  # fmt: skip
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    init_cfg = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'a.pth')}
    expected = build_backbone({**config, **change, 'init_cfg': init_cfg})
    with mock.patch('torch.load', return_value={'state_dict': dict(weights)}):
        expected.init_weights()
    segmentor = nn.Module()
    segmentor.backbone = backbone = build_backbone({**config, **change})
    result = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))
    assert result.resized
    assert not result.mismatched
    loaded = backbone.state_dict()
    assert equal(loaded, expected.state_dict())
    assert any(loaded[name].shape != value.shape for name, value in weights.items())


@pytest.mark.parametrize('shape', [(1, 1 + 32 * 64, -1), (1, 196, -1), (1025,), (1, 0, -1)])
def test_a_position_embedding_of_no_square_is_not_taken_for_one(tmp_path: Path, shape: tuple[int, ...]) -> None:
    segmentor = nn.Module()
    segmentor.backbone = backbone = build_backbone({**VIT, 'img_size': (96, 128)})
    weights = {f'backbone.{name}': value for name, value in backbone.state_dict().items()}
    channels = weights['backbone.pos_embed'].shape[2]
    weights['backbone.pos_embed'] = torch.rand([channels if side == -1 else side for side in shape])
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    result = load_weights(segmentor, Checkpoint(tmp_path / 'a.pth', mapped=True))
    assert not result.resized
    assert [str(each) for each in result.mismatched] != []
