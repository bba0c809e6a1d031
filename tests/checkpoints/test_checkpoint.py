"""The config in a checkpoint, which comes from outside."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.settings import Settings


def stored(folder: Path, **config: Any) -> dict[str, Any]:
    """What a command takes from a checkpoint with this config."""
    torch.save({'state_dict': {}, 'config': yaml.safe_dump(config)}, folder / 'a.ckpt')
    found = Checkpoint(folder / 'a.ckpt').stored(None)
    found.check(Settings())
    return found.settings.without_plus().values


@pytest.mark.parametrize('value', ['own.Class', {'class_path': 'own.Class'}, [{'class_path': 'own.Class'}]], ids=str)
@pytest.mark.parametrize('name', ['callbacks', 'callbacks+', 'callbacks++', 'accelerator', 'strategy+', 'precision'])
def test_its_trainer_names_no_class(tmp_path: Path, name: str, value: Any) -> None:
    assert stored(tmp_path, trainer={name: value, 'max_epochs': 3})['trainer'] == {'max_epochs': 3}
    assert 'trainer' not in stored(tmp_path, **{'trainer+': {name: value}})


@pytest.mark.parametrize('name', ['callbacks', 'logger', 'plugins', 'profiler'])
def test_it_builds_no_parts_of_a_trainer_by_name(tmp_path: Path, name: str) -> None:
    assert stored(tmp_path, trainer={name: 'RichProgressBar'})['trainer'] == {}


def test_plain_values_of_its_trainer_are_taken(tmp_path: Path) -> None:
    trainer = {
        'accelerator': 'gpu', 'devices': [0, 1], 'strategy': 'ddp', 'precision': '16-mixed', 'max_time': None,
        'val_check_interval': 0.5, 'sync_batchnorm': True,
    }  # fmt: skip
    assert stored(tmp_path, trainer=trainer)['trainer'] == trainer


def test_it_cannot_make_another_file_trusted(tmp_path: Path) -> None:
    assert stored(tmp_path, trust_checkpoint=True, weights_only=False) == {'model': {}}
