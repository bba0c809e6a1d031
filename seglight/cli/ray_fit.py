"""Train in processes that Ray Train starts, on one machine or several."""

from __future__ import annotations

import signal
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from seglight.border import essence
from seglight.cli.commands.cluster import add_fit_on_ray, max_failures
from seglight.cli.fit import named_run
from seglight.cli.ray_start import connected
from seglight.cli.ray_worker import STRATEGIES, Exchange, run
from seglight.competition.jobs.lines import Lines
from seglight.competition.jobs.running import SIGNALS
from seglight.competition.resolving import resolved
from seglight.config.arguments import PRINTING, read_arguments
from seglight.errors import ConfigError, TrainingError, UsageError, harmless, one_line, say
from seglight.files import WORK_DIRS, claim_run_folder
from seglight.run_lock import used

#: Seconds between two looks at what rank 0 prints.
PAUSE = 0.2


@dataclass(frozen=True)
class Options:
    """The options of a run on Ray.

    Attributes:
        address: of the cluster.
        workers: number of processes; None for the default.
        failures: how often they are started again.
    """

    address: str
    workers: int | None
    failures: int


def fit_on_ray(argv: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
    """Train in processes of Ray.

    Args:
        argv: the arguments of `fit`.
        command_line: runs a command line of the trainer.

    Raises:
        UserError: if an argument or the config is wrong, before Ray starts; or if the run fails.
    """
    options, words = read_options(argv)
    if read_arguments(words).has(*PRINTING):
        command_line(['fit', *words])
        return
    config = resolved(words, command_line)
    check(config)
    with connected(options.address) as ray:
        workers, gpu = resources(ray.cluster_resources(), config['trainer']['accelerator'], options.workers)
        if options.failures:
            words = restartable(words, writes=not config['trainer']['fast_dev_run'])
        train(['fit', *words], workers, gpu, options.failures)


def read_options(argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Return the options of a run on Ray, and the other arguments of `fit`.

    Raises:
        UsageError: if one of them is wrong.
    """
    parser = ArgumentParser(prog='seglight fit', add_help=False, allow_abbrev=False, exit_on_error=False)
    add_fit_on_ray(parser)
    try:
        found, words = parser.parse_known_args(argv, Namespace())
    except Exception as error:  # argparse's own, which is of another class in each version of Python
        raise UsageError(one_line(error)) from error
    if not found.ray:
        raise UsageError('--ray-workers and --ray-max-failures need --ray ADDRESS, for example --ray local')
    if found.ray_workers is not None and found.ray_workers < 1:
        raise UsageError(f'--ray-workers must be at least 1, got {found.ray_workers}')
    return Options(found.ray, found.ray_workers, max_failures(found)), words


def check(config: dict[str, Any]) -> None:
    """Check that a config leaves the processes to Ray.

    Raises:
        ConfigError: names the key.
    """
    trainer = config['trainer']
    if trainer['strategy'] not in STRATEGIES:
        choice = ', '.join(STRATEGIES)
        raise ConfigError('trainer.strategy', f'must be one of {choice} with --ray, got {trainer["strategy"]}')
    for key, default in (('devices', 'auto'), ('num_nodes', 1), ('plugins', None)):
        if trainer[key] != default:
            shown = 'null' if default is None else default
            cure = '; --ray-workers sets the number of processes' if key != 'plugins' else ''
            raise ConfigError(f'trainer.{key}', f'must be {shown} with --ray, got {trainer[key]}{cure}')


def resources(has: dict[str, float], accelerator: str, workers: int | None) -> tuple[int, bool]:
    """Return the number of processes of a run, and whether each uses a GPU.

    Args:
        has: the resources of the cluster, by Ray's names.
        accelerator: that of Lightning's `Trainer`.
        workers: the requested number of processes.

    Raises:
        UsageError: if the cluster has fewer GPUs or CPUs, for which Ray would wait.
    """
    gpu = accelerator in ('gpu', 'cuda') or (accelerator == 'auto' and has.get('GPU', 0) >= 1)
    kind = 'GPU' if gpu else 'CPU'
    most = int(has.get(kind, 0))
    if workers is None:
        workers = max(most, 1) if gpu else 1
    if workers > most:
        raise UsageError(f'--ray-workers must be at most {most}, the {kind}s of the cluster, got {workers}')
    return workers, gpu


def restartable(words: Sequence[str], writes: bool) -> list[str]:
    """Return the arguments of `fit` with which each start continues the run of the start before.

    Args:
        words: the arguments.
        writes: whether the run has a folder.

    Raises:
        UsageError: if they name another checkpoint, or a folder that is in use.
    """
    arguments = read_arguments(words)
    if arguments.has('--ckpt_path'):
        raise UsageError('--ray-max-failures and --ckpt each choose where a start continues; give one of them')
    if arguments.has('--auto_resume') or not writes:
        return list(words)
    folder = named_run(arguments.value('--work_dir'))
    if folder and folder.is_dir() and used(folder):
        raise UsageError(f'--work-dir {folder} must be new or empty; --auto-resume continues the run in it')
    return [*words, *([] if folder else ['--work-dir', str(claim_run_folder(WORK_DIRS))]), '--auto-resume']


def train(words: list[str], workers: int, gpu: bool, failures: int) -> None:
    """Run a command in processes of Ray Train, and show what rank 0 prints.

    Raises:
        UserError: if it fails, or a signal has stopped it.
        KeyboardInterrupt: after a second signal.
    """
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    WORK_DIRS.mkdir(parents=True, exist_ok=True)
    # Processes on other machines may still write when the command ends at once.
    with tempfile.TemporaryDirectory('', '.ray', WORK_DIRS.absolute(), ignore_cleanup_errors=True) as folder:
        exchange = Exchange(folder)
        exchange.give(words)
        trainer = TorchTrainer(
            run,
            train_loop_config={'folder': str(Path.cwd()), 'exchange': folder},
            scaling_config=ScalingConfig(num_workers=workers, use_gpu=gpu),
            run_config=RunConfig(storage_path=folder, failure_config=FailureConfig(max_failures=failures)),
        )
        # In a thread, since Ray's own handler of SIGINT would end the processes before they save.
        with _stopping(exchange):
            result = _started(trainer.fit)
            try:
                _show(exchange, result)
            except KeyboardInterrupt:
                ray.shutdown()  # ends the processes, before their folder is removed
                raise
        if error := exchange.error():
            raise error
        if failure := result.exception():
            raise explain(failure) from failure


def _started(call: Callable[[], Any]) -> Future[Any]:
    """Return the result of a call in a thread, for which the end of this process does not wait."""
    result: Future[Any] = Future()

    def complete() -> None:
        try:
            result.set_result(call())
        except BaseException as error:  # as in the threads of an executor
            result.set_exception(error)

    threading.Thread(target=complete, daemon=True).start()
    return result


def _show(exchange: Exchange, result: Future[Any]) -> None:
    """Print what rank 0 prints, until the run has ended."""
    out, err = Lines(exchange.out, say), Lines(exchange.err, _print_error)
    while not result.done():
        out.read()
        err.read()
        time.sleep(PAUSE)
    out.read()
    err.read()


def _print_error(line: str) -> None:
    print(harmless(line), file=sys.stderr, flush=True)


@contextmanager
def _stopping(exchange: Exchange) -> Iterator[None]:
    """Let the processes save and end on a signal; a second one ends the command."""

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  (as a handler gets it)
        if exchange.stop.exists():
            raise KeyboardInterrupt
        exchange.stop.touch()
        hint = ' (Ctrl-C again ends at once)' if number == signal.SIGINT else ''
        _print_error(f'seglight: {signal.Signals(number).name}: finishing the step, then saving{hint}')

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def explain(failure: BaseException) -> TrainingError:
    """Return the error that ended the processes; where one died, the others fail because they wait for it."""
    from ray.exceptions import RayActorError

    failures: dict[int, Exception] = getattr(failure, 'worker_failures', {})
    died = [rank for rank, error in failures.items() if isinstance(error, RayActorError)]
    if died:
        cure = 'see --ray-max-failures; --auto-resume continues from the newest checkpoint'
        return TrainingError(f'the process of rank {died[0]} has died, for example without memory; {cure}')
    for rank, error in failures.items():
        return TrainingError(f'rank {rank}: {essence(error)}')
    return TrainingError(f'Ray Train failed: {essence(failure)}')
