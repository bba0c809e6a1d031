"""The options of a run on Ray, and its errors; tests/stories/test_ray.py trains."""

import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import Result

from seglight.cli.ray_fit import Options, check, explain, read_options, resources, restartable, train
from seglight.cli.ray_worker import Exchange
from seglight.errors import ConfigError, Interrupted, TrainingError, UsageError

TRAINER = {'strategy': 'auto', 'devices': 'auto', 'num_nodes': 1, 'plugins': None}


def test_options_are_read_and_the_rest_is_that_of_fit() -> None:
    words = ['--config', 'own.yaml', '--ray=auto', '--ray-workers', '3', '--data.batch_size=2', '--ray_max_failures=4']
    assert read_options(words) == (Options('auto', 3, 4), ['--config', 'own.yaml', '--data.batch_size=2'])
    assert read_options(['--ray', 'local']) == (Options('local', None, 0), [])


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--ray-workers=2'], 'need --ray ADDRESS'),
        (['--ray=local', '--ray-workers=0'], '^--ray-workers must be at least 1, got 0$'),
        (['--ray=local', '--ray-workers=two'], "--ray-workers.*'two'"),
        (['--ray=local', '--ray-max-failures=-1'], '^--ray-max-failures must be at least 0, got -1$'),
        (['--ray'], 'expected one argument'),
    ],
)
def test_wrong_options_are_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_options(words)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('strategy', 'fsdp2', '^trainer.strategy must be one of auto, ddp, .* with --ray, got fsdp2$'),
        ('devices', 2, '^trainer.devices must be auto with --ray, got 2; --ray-workers sets the number of processes$'),
        ('num_nodes', 2, '^trainer.num_nodes must be 1 with --ray, got 2'),
        ('plugins', ['SLURMEnvironment'], '^trainer.plugins must be null with --ray'),
    ],
)
def test_a_config_that_chooses_the_processes_is_rejected(key: str, value: Any, message: str) -> None:
    check({'trainer': TRAINER})
    with pytest.raises(ConfigError, match=message):
        check({'trainer': {**TRAINER, key: value}})


def test_the_number_of_processes_is_that_of_gpus_or_one() -> None:
    has = {'CPU': 8.0, 'GPU': 4.0}
    assert resources(has, 'auto', None) == (4, True)
    assert resources(has, 'gpu', 2) == (2, True)
    assert resources(has, 'cpu', None) == (1, False)
    assert resources({'CPU': 2.0}, 'auto', 2) == (2, False)
    with pytest.raises(UsageError, match=r'^--ray-workers must be at most 2, the CPUs of the cluster, got 3$'):
        resources({'CPU': 2.0}, 'auto', 3)
    with pytest.raises(UsageError, match=r'at most 0, the GPUs of the cluster, got 1$'):
        resources({'CPU': 2.0}, 'gpu', None)


def test_each_start_continues_in_one_folder(workspace: Path) -> None:
    assert restartable(['--seed', '1'], True) == ['--seed', '1', '--work-dir', 'work_dirs/exp1', '--auto-resume']
    assert restartable(['--work-dir', 'new'], True) == ['--work-dir', 'new', '--auto-resume']
    assert restartable(['--auto-resume'], True) == ['--auto-resume']
    assert restartable([], False) == []
    Path('old').mkdir()
    Path('old/config.yaml').touch()
    with pytest.raises(UsageError, match=r'^--work-dir old must be new or empty'):
        restartable(['--work_dir=old'], True)
    with pytest.raises(UsageError, match=r'^--ray-max-failures and --ckpt each choose'):
        restartable(['--ckpt', 'exp1'], True)


def test_a_wrong_config_is_one_line_before_ray_starts(
    run: Callable[..., Result], tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('seglight.cli.ray_fit.connected', lambda *_: pytest.fail('Ray was started'))
    result = run('fit', '--config', tiny_config, '--ray', 'local', '--data.batch_sise=2')
    assert result.status == 2
    assert 'batch_sise' in result.err
    result = run('fit', '--config', tiny_config, '--ray=local', '--trainer.devices=2')
    assert result == Result(2, '', result.err)
    assert 'trainer.devices must be auto with --ray' in result.err
    shown = run('fit', '--config', tiny_config, '--ray=local', '--print_config')
    assert shown.status == 0
    assert 'segmentor:' in shown.out


def test_ray_in_a_config_file_is_rejected(run: Callable[..., Result], tiny_config: Path) -> None:
    tiny_config.write_text(f'{tiny_config.read_text()}\nray: local\n')
    result = run('fit', '--config', tiny_config)
    assert result.status == 2
    assert 'ray must be given on the command line' in result.err


def test_ray_and_cluster_are_not_given_together(run: Callable[..., Result], tiny_config: Path) -> None:
    result = run('folds', '--config', tiny_config, '--ray', 'local', '--cluster', 'local')
    assert result.status == 2
    assert '--ray and --cluster each choose where the runs go' in result.err


def test_the_words_of_a_run_are_in_a_private_file(tmp_path: Path) -> None:
    words = ['fit', '--wandb.notes=https://user:password@host']
    Exchange(str(tmp_path)).give(words)
    assert Exchange(str(tmp_path)).words() == words
    (file,) = tmp_path.iterdir()
    if os.name == 'posix':
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.fixture
def fit(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a stand-in for Ray Train is called with; `fit` is what its trainer does."""
    found: dict[str, Any] = {}

    def trainer(function: object, **arguments: Any) -> SimpleNamespace:
        found.update(arguments)
        return SimpleNamespace(fit=found['fit'])

    ray = SimpleNamespace(shutdown=lambda: found.update(ended=True))
    train = SimpleNamespace(FailureConfig=dict, RunConfig=dict, ScalingConfig=dict)
    modules = {'ray': ray, 'ray.train': train, 'ray.train.torch': SimpleNamespace(TorchTrainer=trainer)}
    modules['ray.exceptions'] = SimpleNamespace(RayActorError=LookupError)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return found


def test_ray_does_not_get_the_words_of_a_run(fit: dict[str, Any], workspace: Path) -> None:
    read: list[str] = []
    fit['fit'] = lambda: read.extend(Exchange(fit['train_loop_config']['exchange']).words())
    train(['fit', '--wandb.notes=https://user:password@host'], 1, False, 0)
    assert read == ['fit', '--wandb.notes=https://user:password@host']
    assert 'password' not in str(fit)
    assert fit['train_loop_config']['folder'] == str(Path.cwd())
    assert not list(Path('work_dirs').iterdir())


def test_an_error_of_ray_ends_the_command(fit: dict[str, Any], workspace: Path) -> None:
    fit['fit'] = lambda: 1 / 0
    with pytest.raises(TrainingError, match=r'^Ray Train failed: .*division by zero'):
        train(['fit'], 1, False, 0)


def test_a_second_signal_ends_the_command_at_once(fit: dict[str, Any], workspace: Path, capsys: Any) -> None:
    def hang() -> None:
        stop = Exchange(fit['train_loop_config']['exchange']).stop
        signal.raise_signal(signal.SIGINT)
        while not stop.exists():
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)
        time.sleep(20)

    fit['fit'] = hang
    handler = signal.getsignal(signal.SIGINT)
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train(['fit'], 1, False, 0)
    assert time.monotonic() - begin < 10
    assert fit['ended']
    assert signal.getsignal(signal.SIGINT) is handler
    assert 'SIGINT: finishing the step, then saving (Ctrl-C again ends at once)' in capsys.readouterr().err
    assert not list(Path('work_dirs').iterdir())


def test_the_error_of_a_process_reaches_the_command(tmp_path: Path) -> None:
    exchange = Exchange(str(tmp_path))
    assert exchange.error() is None
    exchange.fail(Interrupted('stopped by SIGTERM'), 1)
    error = Exchange(str(tmp_path)).error()
    assert error
    assert error.status == Interrupted.status
    assert str(error).startswith('rank 1 on ')
    assert str(error).endswith(': stopped by SIGTERM')


def test_a_process_that_died_is_the_cause() -> None:
    ray = pytest.importorskip('ray')
    train = pytest.importorskip('ray.train.v2.api.exceptions')
    died, closed = ray.exceptions.ActorDiedError(), RuntimeError('Connection closed by peer')
    assert 'rank 1 has died' in str(explain(train.WorkerGroupError('', {0: closed, 1: died})))
    assert str(explain(train.WorkerGroupError('', {1: closed}))) == 'rank 1: Connection closed by peer'
    assert str(explain(ValueError('no'))) == 'Ray Train failed: no'


def test_a_file_ends_a_run_between_two_steps(run: Callable[..., Result], tiny_config: Path) -> None:
    Path('stop').touch()
    flags = ['--trainer.callbacks+=seglight.cli.ray_worker.StopByFile', '--trainer.callbacks.file=stop']
    result = run('fit', '--config', tiny_config, *flags)
    assert result.status == Interrupted.status, result
    assert 'stopped by SIGTERM after step' in result.err
    assert Path('work_dirs/exp1/last.ckpt').exists()
