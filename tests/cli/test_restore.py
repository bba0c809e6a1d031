"""The trainer restores a checkpoint that is already read, unless the user gave a plugin for checkpoints."""

from pathlib import Path

import pytest
import torch
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning import Trainer

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.cli.restore import restore_from


class OwnIO(TorchCheckpointIO):
    """A plugin of the user's."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    entries = {'state_dict': {'weight': torch.ones(2)}, 'epoch': 1, 'global_step': 2, 'loops': {}}
    torch.save(entries, tmp_path / 'a.ckpt')
    return Checkpoint(tmp_path / 'a.ckpt')


def trainer(tmp_path: Path, *plugins: TorchCheckpointIO) -> Trainer:
    return Trainer(accelerator='cpu', logger=False, default_root_dir=tmp_path, plugins=list(plugins))


@pytest.mark.parametrize('training', [True, False])
def test_the_trainer_receives_the_checkpoint_that_was_read(
    checkpoint: Checkpoint, tmp_path: Path, training: bool
) -> None:
    runs = trainer(tmp_path)
    restore_from(runs, checkpoint, training)
    _ = checkpoint.entries
    checkpoint.path.unlink()
    loaded = runs.strategy.load_checkpoint(checkpoint.path)
    assert torch.equal(loaded['state_dict']['weight'], torch.ones(2))
    assert ('loops' in loaded) is training


def test_another_file_is_read(checkpoint: Checkpoint, tmp_path: Path) -> None:
    runs = trainer(tmp_path)
    restore_from(runs, checkpoint, training=True)
    torch.save({'epoch': 5}, tmp_path / 'b.ckpt')
    assert runs.strategy.load_checkpoint(tmp_path / 'b.ckpt') == {'epoch': 5}


def test_new_checkpoints_are_written(checkpoint: Checkpoint, tmp_path: Path) -> None:
    runs = trainer(tmp_path)
    restore_from(runs, checkpoint, training=True)
    runs.strategy.checkpoint_io.save_checkpoint({'epoch': 6}, tmp_path / 'c.ckpt')
    assert torch.load(tmp_path / 'c.ckpt') == {'epoch': 6}


def test_a_plugin_of_the_user_reads_the_file_itself(checkpoint: Checkpoint, tmp_path: Path) -> None:
    own = OwnIO()
    runs = trainer(tmp_path, own)
    restore_from(runs, checkpoint, training=False)
    assert runs.strategy.checkpoint_io is own
