"""A run that was stopped goes on as if it never had been."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compare_runs import differences
from conftest import Result, write_tiny_config
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight import __main__ as seglight
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.run_lock import RunLock

Run = Callable[..., Result]


class Stop(BaseException):
    """Ends a run where a kill would."""


def stop_at(monkeypatch: pytest.MonkeyPatch, hook: str, calls: int) -> None:
    """Let the next run end in a hook of a callback, the n-th time it is called."""
    count = iter(range(1, calls + 1))

    def stopping(self: Callback, trainer: Trainer, module: LightningModule, *args: Any, **kwargs: Any) -> None:
        if not trainer.sanity_checking and next(count) == calls:
            raise Stop

    monkeypatch.setattr(f'seglight.callbacks.console.EpochLines.{hook}', stopping)


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
    'average of the weights': [
        '--trainer.max_epochs=3', '--checkpoint.unit=iter', '--checkpoint.interval=3',
        '--trainer.callbacks=[{class_path: pytorch_lightning.callbacks.EMAWeightAveraging, init_args: {decay: 0.9}}]',
    ],
    'class weights from the data': [
        '--trainer.max_epochs=2',
        '--model.segmentor.decode_head.loss_decode={_delete_: true, type: torch.nn.CrossEntropyLoss, class_weight: balanced}',
    ],
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
        assert f'Resuming from stopped{number}/' in done.out
        assert differences(Path('whole'), Path(f'stopped{number}')) == []


def test_a_damaged_newest_checkpoint_is_passed_over(config: Path, run: Run) -> None:
    command = ['fit', '--config', config, '--trainer.max_epochs=3']
    assert run(*command).status == 0
    assert run(*command).status == 0
    newest = Path('work_dirs/exp2/epoch_3.ckpt')
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    Path('work_dirs/exp2/epoch_2.ckpt').write_bytes(b'')
    done = run(*command, '--auto-resume')
    assert done.status == 0, done.err
    assert 'Skipped: work_dirs/exp2/epoch_3.ckpt is damaged' in done.out
    assert 'Skipped: work_dirs/exp2/epoch_2.ckpt is empty' in done.out
    assert 'Resuming from work_dirs/exp2/epoch_1.ckpt' in done.out
    assert differences(Path('work_dirs/exp1'), Path('work_dirs/exp2')) == []


def test_auto_resume_finds_the_run_of_its_own_config(config: Path, run: Run) -> None:
    short, other = ['--trainer.max_epochs=1'], ['--trainer.max_epochs=1', '--seed=7']
    fresh = run('fit', '--config', config, *short, '--auto-resume')
    assert 'No run of this config in work_dirs: starting from the beginning' in fresh.out
    assert run('fit', '--config', config, *other).status == 0
    again = run('fit', '--config', config, *short, '--auto-resume')
    assert again.status == 0, again.err
    assert 'Resuming from work_dirs/exp1/epoch_1.ckpt' in again.out
    assert 'is already at epoch 1 of 1' in again.out
    assert 'Best mIoU' in again.out
    assert sorted(path.name for path in Path('work_dirs').iterdir()) == ['exp1', 'exp2']


def test_a_named_folder_goes_on_with_another_length(config: Path, run: Run) -> None:
    assert run('fit', '--config', config, '--trainer.max_epochs=1', '--work-dir', 'a').status == 0
    refused = run('fit', '--config', config, '--trainer.max_epochs=2', '--work-dir', 'a')
    assert refused.status == 2
    assert '--auto-resume' in refused.err
    done = run('fit', '--config', config, '--trainer.max_epochs=2', '--work-dir', 'a', '--auto-resume')
    assert 'The config differs from a/config.yaml' in done.out
    assert 'epoch 2/2' in done.out
    assert Path('a/epoch_2.ckpt').exists()


def test_a_run_in_use_or_damaged_is_not_resumed_and_nothing_else_is_said(
    tiny_config: Path, run: Callable[..., Result]
) -> None:
    command = ['fit', '--config', tiny_config, '--trainer.max_epochs=1', '--work-dir', 'run', '--auto-resume']
    assert run(*command).status == 0
    lock = RunLock(Path('run'))
    lock.acquire()
    second = run(*command, '--trainer.max_epochs=2')
    lock.release()
    assert second.status == 2
    assert second.out == ''
    assert 'run is in use: process' in second.err
    Path('run/config.yaml').write_bytes(bytes(range(256)))
    damaged = run(*command, '--trainer.max_epochs=2')
    assert damaged.status == 2 and damaged.out == ''
    assert 'run/config.yaml cannot be read: ' in damaged.err and damaged.err.endswith('; restore or remove it\n')


def test_resuming_from_a_checkpoint_makes_a_run_of_its_own(
    config: Path, run: Run, recwarn: pytest.WarningsRecorder
) -> None:
    command = ['fit', '--config', config, '--trainer.max_epochs=2', '--checkpoint.unit=iter', '--checkpoint.interval=6']
    assert run(*command).status == 0
    done = run(*command, '--resume-from', 'exp1/iter_6.ckpt')
    assert done.status == 0, done.err
    assert not [
        warning for warning in recwarn if 'resuming' in str(warning.message) or 'dirpath' in str(warning.message)
    ]
    whole, rest = (Path(f'work_dirs/exp{number}/metrics.csv').read_text().splitlines() for number in (1, 2))
    assert rest[1:] == whole[-len(rest) + 1 :]  # the same figures, each once
    assert len(rest) == 1 + 2 * 2 + 1  # the header, rate and loss of two steps, one validation
    assert 'work_dirs/exp2/' in done.out.split('Predict')[1]


@pytest.mark.parametrize('choice', ['stop', 'continue'])
def test_a_full_disk_leaves_the_checkpoints_that_are_there(config: Path, run: Run, choice: str) -> None:
    assert run('fit', '--config', config, '--trainer.max_epochs=1', '--work-dir', 'a').status == 0
    size = Path('a/epoch_1.ckpt').stat().st_size
    resource = pytest.importorskip('resource', reason='limits of Unix')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    flags = [f'--checkpoint.on_write_error={choice}', f'--best_checkpoint.on_write_error={choice}']
    try:
        done = run('fit', '--config', config, '--trainer.max_epochs=2', '--work-dir', 'a', '--auto-resume', *flags)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 'epoch_2.ckpt cannot be written: File too large; earlier checkpoints are unchanged' in done.err
    assert done.status == (2 if choice == 'stop' else 0)
    assert ('training continues' in done.err) == (choice == 'continue')
    Checkpoint('a/epoch_1.ckpt').verify()
    assert [path.name for path in Path('a').glob('*epoch_2*')] == []
    assert Path('a/last.ckpt').resolve().name == 'epoch_1.ckpt'
