"""Checkpoints are written atomically, and damage is detected."""

import random
from pathlib import Path

import pytest
import torch

from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / 'a.ckpt'
    generator = torch.Generator().manual_seed(0)
    entries = {'weight': torch.rand(1000, generator=generator), 'epoch': 3, 'text': 'a: 1\n' * 50}
    AtomicCheckpointIO().save_checkpoint(entries, path)
    return path


def test_a_flipped_bit_is_found_or_changes_nothing(checkpoint: Path) -> None:
    whole = checkpoint.read_bytes()
    expected = torch.load(checkpoint, weights_only=True)
    chance, found = random.Random(0), 0
    for _ in range(300):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        checkpoint.write_bytes(data)
        try:
            Checkpoint(checkpoint).verify()
        except CheckpointError:
            found += 1
        else:  # in the padding between records, or in a part of the zip that says nothing
            read = torch.load(checkpoint, weights_only=True)
            assert torch.equal(read.pop('weight'), expected['weight'])
            assert read == {'epoch': 3, 'text': 'a: 1\n' * 50}
    assert found > 200


def test_a_flipped_bit_in_the_weights_is_found(checkpoint: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    weights = torch.load(checkpoint, weights_only=True)['weight'].numpy().tobytes()
    data[bytes(data).index(weights) + 100] ^= 4
    checkpoint.write_bytes(data)
    torch.load(checkpoint, weights_only=True)  # torch itself does not look
    with pytest.raises(CheckpointError, match=r'a\.ckpt is damaged: the checksum of .* is wrong'):
        Checkpoint(checkpoint).verify()


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_found(checkpoint: Path, share: float) -> None:
    data = checkpoint.read_bytes()
    checkpoint.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match='is empty' if share == 0 else 'truncated or damaged'):
        Checkpoint(checkpoint).verify()


def test_a_failed_write_keeps_the_existing_file(checkpoint: Path) -> None:
    class Unwritable:
        def __reduce__(self) -> str:
            raise OSError(28, 'No space left on device')

    before = checkpoint.read_bytes()
    with pytest.raises(CheckpointError, match='cannot be written: No space left on device'):
        AtomicCheckpointIO().save_checkpoint({'a': Unwritable()}, checkpoint)
    assert checkpoint.read_bytes() == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ['a.ckpt']
