"""Files of weights that claim more than they hold."""

import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints.attacks import zip_bomb

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError
from seglight.plain_values import MOST_VALUES
from seglight.weight_files import read_file


def shared() -> Any:
    value: Any = []
    for _ in range(40):
        value = [value, value]
    return value


def circle() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> Any:
    value: Any = 1
    for _ in range(150):
        value = {'a': value}
    return value


def metadata() -> Any:
    weights = OrderedDict(weight=torch.ones(1))
    weights._metadata = {'': {'version': [1]}}  # type: ignore[attr-defined]
    return weights


ATTACKS: dict[str, tuple[Any, str]] = {
    'lists that share lists': (shared, f'contains more than {MOST_VALUES:,} values'),
    'a list that contains itself': (circle, 'contains itself'),
    'levels': (deep, 'more than 100 levels'),
    'one number that claims to be many': (lambda: torch.ones(1).expand(10**12), 'more than the file contains'),
    'many of them': (lambda: [torch.ones(1).expand(2**17) for _ in range(400)], 'more than the file contains'),
    'a tensor of sizes alone': (lambda: torch.empty(3, device='meta'), 'not a dense one on the CPU'),
    'a sparse tensor': (lambda: torch.ones(2, 2).to_sparse(), 'not a dense one on the CPU'),
    'a large number': (lambda: 10**300, 'bits'),
    'versions that are lists': (metadata, 'torch does not write'),
}


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])
@pytest.mark.parametrize('name', ATTACKS)
def test_a_file_that_claims_more_than_it_holds_is_refused(name: str, zipped: bool, tmp_path: Path) -> None:
    make, message = ATTACKS[name]
    payload = {'state_dict': {'a': make()}}
    torch.save(payload, tmp_path / 'a.ckpt', _use_new_zipfile_serialization=zipped)
    start = time.process_time()
    with pytest.raises(CheckpointError, match=r'a\.ckpt') as error:
        read_file(tmp_path / 'a.ckpt')
    assert message in str(error.value) or 'cannot be read' in str(error.value)
    assert '\n' not in str(error.value)
    assert time.process_time() - start < 20


@pytest.mark.parametrize('read', [read_file, lambda path: Checkpoint(path).verify()], ids=['read', 'verify'])
def test_a_zip_that_unpacks_to_more_is_not_unpacked(read: Any, tmp_path: Path) -> None:
    zip_bomb(tmp_path / 'a.ckpt', 64 << 20)
    assert (tmp_path / 'a.ckpt').stat().st_size < 1 << 20
    with pytest.raises(CheckpointError, match='but its records claim'):
        read(tmp_path / 'a.ckpt')


def test_what_training_writes_is_read(tmp_path: Path) -> None:
    layer = torch.nn.BatchNorm2d(3)
    tied = torch.ones(1000, 100)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    payload = {
        'state_dict': {**layer.state_dict(), 'a': tied, 'b': tied},
        'own': layer.state_dict(),
        'optimizer_states': [optimizer.state_dict()],
        'random': (torch.get_rng_state(), (3, tuple(range(625)), None)),
        'numpy': [np.float64(1), np.arange(3)],
        'size': torch.Size([2]),
    }
    torch.save(payload, tmp_path / 'a.ckpt')
    assert read_file(tmp_path / 'a.ckpt')['state_dict']['b'].shape == (1000, 100)
