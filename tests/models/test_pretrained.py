"""Pretrained weights of a config are loaded into the model, without running code."""

import copy
import functools
import http.server
import os
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import TINY_SEGMENTOR
from mmcv.runner import load_checkpoint
from torch import nn

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError, ConfigError
from seglight.models.pretrained import teach_mmcv
from seglight.models.recipe import Recipe
from seglight.weight_files import read_address


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """A file of the weights of the tiny segmentor's backbone, as a converter writes them."""
    weights = Recipe(TINY_SEGMENTOR).for_data(3).build().backbone.state_dict()
    torch.save({'state_dict': weights}, tmp_path / 'r18.pth')
    return tmp_path / 'r18.pth'


def test_weights_of_the_same_architecture_are_loaded(backbone: Path) -> None:
    built = Recipe({**TINY_SEGMENTOR, 'pretrained': str(backbone)}).for_data(3).build()
    expected = torch.load(backbone, weights_only=True)['state_dict']
    assert all(torch.equal(value, expected[name]) for name, value in built.backbone.state_dict().items())


@pytest.mark.parametrize('where', ['pretrained', 'init_cfg'])
def test_weights_of_another_architecture_are_refused(backbone: Path, where: str) -> None:
    other = copy.deepcopy(TINY_SEGMENTOR)
    other['backbone'].update(base_channels=16, stem_channels=16)
    other['decode_head']['in_channels'], other['auxiliary_head']['in_channels'] = 128, 64
    if where == 'pretrained':
        other['pretrained'] = str(backbone)
    else:
        other['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': str(backbone)}
    with pytest.raises(ConfigError, match=r'no weights in .*r18\.pth fit the ResNetV1c'):
        Recipe(other).for_data(3).build()


class Malicious:
    """Creates a folder when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files and counts them."""

    served: list[str]

    def do_GET(self) -> None:
        self.served.append(self.path)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server for the files in `tmp_path`; downloads go to a folder of the test."""
    teach_mmcv()
    for name in ('TORCH_HOME', 'MMCV_HOME'):
        monkeypatch.setenv(name, str(tmp_path / 'home'))
    monkeypatch.setattr(Handler, 'served', [], raising=False)
    handler = functools.partial(Handler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{running.server_port}'
        running.shutdown()


@pytest.mark.parametrize('scheme', ['http', 'open-mmlab'])
def test_downloaded_weights_run_no_code(server: str, tmp_path: Path, scheme: str) -> None:
    torch.save({'state_dict': {}, 'meta': Malicious(tmp_path / 'ran')}, tmp_path / 'a.pth')
    address = f'{server}/a.pth'
    if scheme == 'open-mmlab':  # a name that mmcv looks up in a table
        (tmp_path / 'home').mkdir()
        (tmp_path / 'home' / 'open_mmlab.json').write_text(f'{{"mine": "{address}"}}')
        address = 'open-mmlab://mine'
    with pytest.raises(CheckpointError, match=r'a\.pth is refused: loading its posix\.mkdir would execute code'):
        load_checkpoint(nn.Linear(1, 1), address)
    assert Handler.served == ['/a.pth']
    assert not (tmp_path / 'ran').exists()


def test_harmless_weights_are_downloaded_with_the_numpy_values_of_mmcvs_meta(server: str, tmp_path: Path) -> None:
    weights = nn.Linear(1, 1).state_dict()
    torch.save({'state_dict': weights, 'meta': {'lr': np.float64(0.5)}}, tmp_path / 'b.pth')
    layer = nn.Linear(1, 1)
    assert load_checkpoint(layer, f'{server}/b.pth')['meta']['lr'] == 0.5
    assert torch.equal(layer.weight, weights['weight'])


@pytest.mark.parametrize('name', ['best.pth', 'best-20200605.pth'])
def test_files_of_one_name_from_two_addresses_are_two(server: str, tmp_path: Path, name: str) -> None:
    for value, folder in enumerate('ab'):
        (tmp_path / folder).mkdir()
        torch.save({'w': torch.tensor(value)}, tmp_path / folder / name)
    both = [f'{server}/a/{name}', f'{server}/b/{name}']
    assert [read_address(each)['w'].item() for each in [*both, *both]] == [0, 1, 0, 1]
    assert len(Handler.served) == 2


def test_a_published_file_is_found_where_torch_keeps_it(server: str, tmp_path: Path) -> None:
    (tmp_path / 'home/hub/checkpoints').mkdir(parents=True)
    torch.save({'w': torch.tensor(7)}, tmp_path / 'home/hub/checkpoints/fcn_20200605_003338-2966598c.pth')
    assert read_address(f'{server}/somewhere/fcn_20200605_003338-2966598c.pth')['w'].item() == 7
    assert Handler.served == []


def test_a_downloaded_zip_is_not_extracted(server: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
        archive.writestr('victim.pth', 'replaced')
    cache = tmp_path / 'cache'
    cache.mkdir()
    (cache / 'victim.pth').write_text('kept')
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint, or it is truncated or damaged'):
        read_address(f'{server}/a.pth', str(cache))
    assert (cache / 'victim.pth').read_text() == 'kept'


def test_downloaded_weights_are_bounded_like_files(server: str, tmp_path: Path) -> None:
    torch.save({'w': torch.zeros(1).expand(10**12)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth is refused: w claims 1,000,000,000,000 numbers'):
        read_address(f'{server}/a.pth', str(tmp_path / 'cache'))


def test_nothing_is_downloaded_for_a_checkpoint(server: str, tmp_path: Path, trained: Path) -> None:
    checkpoint = torch.load(trained / 'last.ckpt', weights_only=True)
    segmentor = checkpoint['hyper_parameters']['segmentor']
    segmentor['backbone']['init_cfg'] = [{'type': 'Pretrained', 'checkpoint': f'{server}/a.pth'}]
    checkpoint['config'] = yaml.safe_dump({'model': {'segmentor': segmentor}})
    torch.save(checkpoint, tmp_path / 'c.ckpt')
    Checkpoint(tmp_path / 'c.ckpt').module()
    assert Handler.served == []


def test_the_part_whose_weights_fail_is_named_and_no_other(backbone: Path) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['backbone']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': str(backbone)}
    model['decode_head']['init_cfg'] = {'type': 'Pretrained', 'checkpoint': 'missing.pth'}
    with pytest.raises(ConfigError, match=r"decode_head\.init_cfg cannot load the pretrained weights 'missing\.pth'"):
        Recipe(model).for_data(3).build()
    model['decode_head']['init_cfg'] = {'type': 'Normal', 'std': 0.01, 'override': {'name': 'conv_sge'}}
    with pytest.raises(ConfigError, match=r'segmentor cannot be initialised by mmseg: .*conv_sge'):
        Recipe(model).for_data(3).build()
