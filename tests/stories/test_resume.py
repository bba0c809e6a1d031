"""A run that was stopped goes on as if it never had been."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Result, write_tiny_config
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight import __main__ as seglight

Run = Callable[..., Result]


class Stop(RuntimeError):
    """Ends a run where a kill would."""


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, calls: int) -> None:
    """Let the next run end in a hook of a callback, the n-th time it is called."""
    count = iter(range(1, calls + 1))

    def stopping(self: Callback, trainer: Trainer, module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if not trainer.sanity_checking and next(count) == calls:
            raise Stop

    monkeypatch.setattr(f'seglight.callbacks.console.EpochLines.{hook}', stopping)


def same(first: Any, second: Any, path: str = '') -> None:
    """Check that two nested values are bitwise equal."""
    assert type(first) is type(second), path
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype and torch.equal(first, second), path
    elif isinstance(first, dict):
        assert list(first) == list(second), path
        for name in first:
            same(first[name], second[name], f'{path}.{name}')
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), path
        for index, (one, other) in enumerate(zip(first, second, strict=True)):
            same(one, other, f'{path}.{index}')
    else:
        assert first == second or first != first, path


def contents(checkpoint: Path) -> dict[str, Any]:
    """Return a checkpoint without what names a folder or the command."""
    entries = torch.load(checkpoint, weights_only=True)
    for state in entries['callbacks'].values():
        for name in [name for name in state if 'path' in name or name == 'best_k_models']:
            del state[name]
    return {name: value for name, value in entries.items() if name not in ('config', 'environment')}


def same_end(first: Path, second: Path) -> None:
    """Check that two runs have the same files, checkpoints and logged steps."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (first, second)]
    assert names[0] == names[1]
    assert (first / 'metrics.csv').read_bytes() == (second / 'metrics.csv').read_bytes()
    for path in first.glob('*.ckpt'):
        same(contents(path), contents(second / path.name), path.name)


FLAGS = {
    'epochs': ['--trainer.max_epochs=4'],
    'iterations': ['--trainer.max_epochs=4', '--checkpoint.unit=iter', '--checkpoint.interval=3'],
    'steps': ['--trainer.max_steps=9', '--trainer.max_epochs=-1', '--checkpoint.unit=iter', '--checkpoint.interval=2'],
    'steps, epochs': ['--trainer.max_steps=9', '--trainer.max_epochs=-1'],
    'steps, validation by steps': [
        '--trainer.max_steps=9', '--trainer.max_epochs=-1', '--checkpoint.unit=iter', '--checkpoint.interval=3',
        '--trainer.val_check_interval=3', '--trainer.check_val_every_n_epoch=null',
    ],
    'validation in the epoch': ['--trainer.max_epochs=3', '--checkpoint.unit=iter', '--trainer.val_check_interval=2'],
    'accumulation': ['--trainer.max_epochs=3', '--checkpoint.unit=iter', '--trainer.accumulate_grad_batches=2'],
}  # fmt: skip


@pytest.fixture
def config(workspace: Path, data_root: Path) -> Path:
    """A config with four batches in an epoch."""
    path = write_tiny_config(workspace / 'tiny.yaml', data_root)
    path.write_text(path.read_text().replace('batch_size: 4', 'batch_size: 2'))
    return path


@pytest.mark.parametrize('flags', FLAGS.values(), ids=FLAGS)
def test_a_stopped_run_ends_like_one_that_was_not(
    config: Path, run: Run, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ['fit', '--config', config, *flags]
    assert run(*command, '--work-dir', 'whole').status == 0
    for number, (hook, calls) in enumerate(
        {'on_train_batch_end': 7, 'on_validation_start': 2, 'on_train_epoch_end': 2}.items()
    ):
        with monkeypatch.context() as patch:
            stop_at(patch, hook, calls)
            with pytest.raises(Stop):
                seglight.run([str(word) for word in [*command, '--work-dir', f'stopped{number}']])
        done = run(*command, '--work-dir', f'stopped{number}', '--auto-resume')
        assert done.status == 0, done.err
        assert f'Goes on from stopped{number}/' in done.out
        same_end(Path('whole'), Path(f'stopped{number}'))
