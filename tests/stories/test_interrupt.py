"""Signals in the middle of a run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from compare_runs import differences
from conftest import Result, write_tiny_config

from seglight.models import Segmentor

Start = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def start(workspace: Path, data_root: Path) -> Iterator[Start]:
    """Starts runs in process groups of their own; they listen to SIGINT even where these tests run in the background."""
    started: list[subprocess.Popen[str]] = []

    def call(*flags: str, workers: int = 0) -> subprocess.Popen[str]:
        config = write_tiny_config(workspace / 'tiny.yaml', data_root, workers)
        process = subprocess.Popen(
            [sys.executable, '-m', 'seglight', 'fit', '--config', str(config), *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            start_new_session=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    """Read what a run says until a line begins so."""
    assert process.stdout is not None
    assert any(said.startswith(line) for said in process.stdout)


def test_ctrl_c_finishes_the_step_and_saves(start: Start) -> None:
    process = start('--trainer.max_epochs=10000', workers=1)
    wait_for(process, 'epoch 3/')
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the loader's worker gets it too
    _, err = process.communicate(timeout=60)
    assert process.returncode == 75, err
    first, second = err.splitlines()
    assert first == 'seglight: SIGINT: finishing the step, then saving (Ctrl-C again ends at once)'
    assert second.startswith('seglight: stopped by SIGINT after step ')
    saved = second.split('saved ')[1].split(',')[0]
    assert torch.load(saved, weights_only=True)['global_step'] == int(second.split('step ')[1].split(';')[0])
    assert Path('work_dirs/exp1/last.ckpt').resolve() == Path(saved).resolve()


def signals_at(monkeypatch: pytest.MonkeyPatch, step: int, *numbers: signal.Signals) -> None:
    """Let the next run in this process get signals in the middle of a step."""
    training_step = Segmentor.training_step

    def stepping(self: Segmentor, batch: Any, batch_idx: int) -> Any:
        for number in numbers if self.global_step == step else ():
            signal.raise_signal(number)
        return training_step(self, batch, batch_idx)

    monkeypatch.setattr(Segmentor, 'training_step', stepping)


@pytest.mark.parametrize('step', [4, 5], ids=['before the end of an epoch', 'in the last step of an epoch'])
def test_a_run_that_a_signal_stopped_ends_like_one_that_was_left_alone(
    tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    handler = signal.getsignal(signal.SIGINT)  # a shell lets its commands in the background ignore it
    command = ['fit', '--config', tiny_config, '--trainer.max_epochs=4', '--work-dir']
    assert run(*command, 'whole').status == 0
    with monkeypatch.context() as patch:
        signals_at(patch, step, signal.SIGTERM)
        stopped = run(*command, 'stopped')
    assert stopped.status == 75
    assert 'seglight: SIGTERM: finishing the step, then saving\n' in stopped.err
    saved = f'stopped/iter_{step + 1}.ckpt'
    assert f'after step {step + 1}; saved {saved}, resume with --auto-resume' in stopped.err
    with monkeypatch.context() as patch:  # again, before there is another checkpoint
        signals_at(patch, step + 1, signal.SIGINT, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            run(*command, 'stopped', '--auto-resume')
    assert Path(saved).is_file()
    resumed = run(*command, 'stopped', '--auto-resume')
    assert resumed.status == 0, resumed.err
    assert f'Resuming from {saved}' in resumed.out
    assert differences(Path('whole'), Path('stopped')) == []
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_ends_at_once(
    tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    signals_at(monkeypatch, 2, signal.SIGINT, signal.SIGINT)
    with pytest.raises(
        KeyboardInterrupt, match=r'the run is in work_dirs/exp1, its newest checkpoint is epoch_1\.ckpt'
    ):
        run('fit', '--config', tiny_config)
    assert not list(Path().rglob('iter_*.ckpt'))


def signal_in(monkeypatch: pytest.MonkeyPatch, name: str, call: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Let the next run in this process get a signal in a call of a method of its module."""
    method, calls = getattr(Segmentor, name), iter(range(1, 1000))

    def called(self: Segmentor, *args: Any) -> Any:
        if next(calls) == call:
            signal.raise_signal(number)
        return method(self, *args)

    monkeypatch.setattr(Segmentor, name, called)


LATE = ['--trainer.max_epochs=1', '--trainer.callbacks+=LearningRateFinder', '--trainer.callbacks.num_training_steps=4']
BATCH = [
    *('--trainer.max_epochs=1', '--trainer.callbacks+=BatchSizeFinder'),
    *('--trainer.callbacks.max_trials=1', '--trainer.callbacks.init_val=2'),
]


@pytest.mark.parametrize(
    ('flags', 'name', 'call'),
    [
        (['--trainer.max_epochs=1'], 'validation_step', 1),  # of Lightning's trial before training
        (LATE, 'training_step', 2),
        (BATCH, 'training_step', 2),
    ],
    ids=['trial', 'learning rate', 'batch size'],
)
def test_a_signal_before_the_first_step_ends_the_run_in_one_line(
    tiny_config: Path,
    run: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    name: str,
    call: int,
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    command = ['fit', '--config', tiny_config, *flags, '--work-dir']
    with monkeypatch.context() as patch:
        signal_in(patch, name, call)
        stopped = run(*command, 'stopped')
    assert stopped.status == 75
    assert stopped.err.endswith('seglight: stopped by SIGTERM before its first step; start again with --auto-resume\n')
    assert not list(Path().rglob('*.ckpt'))
    assert not list(Path().glob('.*.ckpt'))  # the finders' own
    resumed = run(*command, 'stopped', '--auto-resume')
    assert resumed.status == 0, resumed.err
    assert 'No checkpoint in stopped yet: starting from the beginning' in resumed.out
    signal.signal(signal.SIGTERM, handler)


def test_the_epoch_that_averages_batch_norm_is_one_step(
    tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ['--trainer.callbacks+=StochasticWeightAveraging', '--trainer.callbacks.swa_lrs=0.1']
    flags += ['--trainer.callbacks.swa_epoch_start=1', '--trainer.max_epochs=1']
    command = ['fit', '--config', tiny_config, *flags, '--work-dir']
    assert run(*command, 'whole').status == 0
    whole = torch.load('whole/last.ckpt', weights_only=True)
    signal_in(monkeypatch, 'training_step', int(whole['global_step']) + 1)
    stopped = run(*command, 'stopped')
    assert 'seglight: SIGTERM: finishing the epoch, then saving\n' in stopped.err
    assert stopped.status == 0, stopped.err  # the run is at its end with it
    assert differences(Path('whole'), Path('stopped')) == []


def test_ctrl_c_at_start_up_ends_with_one_line(start: Start) -> None:
    process = start('--trainer.max_epochs=10000')
    wait_for(process, 'Run')
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, len(err.splitlines())) in [(130, 1), (75, 2)]  # before the first step, or in one


@pytest.fixture
def slurm(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job of SLURM with one process; the file lists the calls of its `scontrol`."""
    calls = workspace / 'scontrol.txt'
    folder = workspace / 'bin'
    folder.mkdir()
    scontrol = folder / 'scontrol'
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {calls}\ntest -z "$REFUSED" || {{ echo "$REFUSED" >&2; exit 1; }}\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv('PATH', f'{folder}{os.pathsep}{os.environ["PATH"]}')
    job = {'JOB_ID': '4711', 'JOB_NAME': 'seglight', 'NTASKS': '1', 'NNODES': '1', 'NTASKS_PER_NODE': '1'}
    for name, value in {**job, 'PROCID': '0', 'LOCALID': '0', 'NODEID': '0'}.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    return calls


def test_a_job_of_slurm_saves_once_is_requeued_once_and_ends_like_one_that_was_left_alone(
    slurm: Path, tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ['fit', '--config', tiny_config, '--trainer.max_epochs=4', '--auto-resume', '--work-dir']
    assert run(*command, 'whole').status == 0
    assert not slurm.exists()
    with monkeypatch.context() as patch:
        signals_at(patch, 4, signal.SIGUSR1)
        stopped = run(*command, 'stopped')
    assert stopped.status == 75
    assert 'Requeued   job 4711\n' in stopped.out
    assert 'seglight: stopped by SIGUSR1 after step 5; saved stopped/iter_5.ckpt, resume with' in stopped.err
    assert slurm.read_text() == 'requeue 4711\n'
    assert [path.name for path in Path('stopped').glob('iter_*')] == ['iter_5.ckpt']
    assert not list(Path().rglob('hpc_ckpt*'))  # Lightning's own, which its next run would load
    resumed = run(*command, 'stopped')
    assert resumed.status == 0, resumed.err
    assert 'Resuming from stopped/iter_5.ckpt' in resumed.out
    assert differences(Path('whole'), Path('stopped')) == []
    assert slurm.read_text() == 'requeue 4711\n'


def test_a_job_of_slurm_that_cannot_be_requeued_says_so(
    slurm: Path, tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('REFUSED', 'Requested operation is presently disabled')
    monkeypatch.setenv('SLURM_ARRAY_JOB_ID', '4700')
    monkeypatch.setenv('SLURM_ARRAY_TASK_ID', '11')
    with monkeypatch.context() as patch:
        signals_at(patch, 1, signal.SIGUSR1)
        stopped = run('fit', '--config', tiny_config, '--trainer.max_epochs=2')
    assert stopped.status == 75
    assert (
        'SLURM cannot put job 4700_11 into the queue again (Requested operation is presently disabled); submit it again'
        in stopped.err
    )
    assert slurm.read_text() == 'requeue 4700_11\n'
    assert Path('work_dirs/exp1/iter_2.ckpt').is_file()


def test_a_job_of_slurm_is_requeued_before_its_first_step(
    slurm: Path, tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        signal_in(patch, 'validation_step', 1, signal.SIGUSR1)
        stopped = run('fit', '--config', tiny_config, '--trainer.max_epochs=1')
    assert stopped.status == 75
    assert stopped.err.endswith('seglight: stopped by SIGUSR1 before its first step; start again with --auto-resume\n')
    assert slurm.read_text() == 'requeue 4711\n'
