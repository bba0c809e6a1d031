"""A checkpoint is found, read once, and handed over; the config in it comes from outside."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.config.settings import Settings
from seglight.errors import CheckpointError


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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint in the middle of a run."""
    entries = {
        'state_dict': {'weight': torch.arange(5.0)}, 'hyper_parameters': {'classes': ['a', 'b']}, 'epoch': 3,
        'global_step': 8, 'metrics': {'val/mIoU': 0.5}, 'loops': {}, 'optimizer_states': [], 'lr_schedulers': [],
        'callbacks': {}, 'MixedPrecision': {'scale': 2.0}, 'OwnData': {'epoch': 3},
    }  # fmt: skip
    torch.save(entries, tmp_path / 'a.ckpt')
    return tmp_path / 'a.ckpt'


def test_it_is_read_when_it_is_first_needed(file: Path) -> None:
    checkpoint = Checkpoint(file)
    content = file.read_bytes()
    file.unlink()
    with pytest.raises(CheckpointError, match=r'a\.ckpt was not found'):
        _ = checkpoint.weights
    file.write_bytes(content)
    assert checkpoint.weights['weight'].tolist() == [0, 1, 2, 3, 4]
    file.unlink()
    assert (checkpoint.classes, checkpoint.metrics) == (['a', 'b'], {'val/mIoU': 0.5})


@pytest.mark.parametrize('mapped', [False, True])
def test_verified_or_not_it_holds_the_same(file: Path, mapped: bool) -> None:
    verified, other = Checkpoint(file, mapped=mapped), Checkpoint(file)
    verified.verify()
    assert verified.fingerprint == other.fingerprint
    assert torch.equal(verified.weights['weight'], other.weights['weight'])


def test_an_empty_file_is_not_intact(file: Path) -> None:
    file.write_bytes(b'')
    with pytest.raises(CheckpointError, match=r'a\.ckpt is empty$'):
        Checkpoint(file).verify()


def test_who_trains_restores_everything(file: Path) -> None:
    handed = Checkpoint(file).hand_over(training=True)
    assert handed.keys() == {*torch.load(file), 'pytorch-lightning_version'}


def test_who_does_not_train_restores_nothing_of_training(file: Path) -> None:
    handed = Checkpoint(file).hand_over(training=False)
    assert set(handed) == {'state_dict', 'hyper_parameters', 'epoch', 'global_step', 'pytorch-lightning_version'}


def test_another_process_reads_it_itself(file: Path) -> None:
    checkpoint = Checkpoint(file)
    before = len(pickle.dumps(checkpoint))
    _ = checkpoint.entries
    sent = pickle.dumps(checkpoint)
    assert len(sent) < before + 50
    assert torch.equal(pickle.loads(sent).weights['weight'], checkpoint.weights['weight'])


@pytest.mark.parametrize('name', ['work_dirs/exp1/epoch_2.ckpt', 'exp1/epoch_2.ckpt', 'exp1', 'work_dirs/exp1'])
def test_a_name_is_a_path_or_below_work_dirs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path('work_dirs/exp1')
    run.mkdir(parents=True)
    file.rename(run / 'epoch_2.ckpt')
    assert Checkpoint.find(name).path == run / 'epoch_2.ckpt'
    assert Checkpoint.find(name, best=False).path == run / 'epoch_2.ckpt'


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda file: file.write_bytes(b''), 'it is empty'),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), 'truncated or damaged'),
        (lambda file: torch.save({'a': 1}, file), 'it has no state_dict'),
        (lambda file: file.unlink(), 'was not found'),
    ],
)
def test_a_bad_file_is_refused_in_a_line(file: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(file)
    with pytest.raises(CheckpointError, match=f'a\\.ckpt.*{message}'):
        _ = Checkpoint(file).entries
