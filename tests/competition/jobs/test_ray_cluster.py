"""Commands run as tasks of Ray, with a stand-in for Ray; tests/stories/test_ray.py runs them on it."""

import signal
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seglight import __version__
from seglight.competition.jobs import ray_cluster
from seglight.competition.jobs.ray_cluster import RayCluster, Task, run_remote
from seglight.competition.jobs.remote import RemoteCommand
from seglight.competition.jobs.running import Command, Runner
from seglight.errors import TrainingError


class Ray:
    """Runs tasks in threads."""

    def __init__(self, **resources: float) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.resources = resources
        self.options: dict[str, Any] = {}

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def remote(self, **options: Any) -> Any:
        self.options = options
        return lambda function: SimpleNamespace(remote=lambda *values: self.pool.submit(function, *values))

    def wait(self, references: list[Future[None]], timeout: float) -> tuple[list[Future[None]], list[Future[None]]]:
        found = wait_for(references, timeout)
        return list(found.done), list(found.not_done)

    def get(self, reference: Future[None]) -> None:
        reference.result()


def command(folder: Path, name: str, *words: str) -> Command:
    return Command(name, list(words), folder / name / '.done', folder / f'{name}.log', folder / name)


def test_commands_run_as_tasks_and_a_failure_is_explained(workspace: Path) -> None:
    ray = Ray(CPU=2)
    good = command(workspace, 'good', '--version')
    Runner(1, RayCluster(ray, 3)).run([[good]])
    assert good.marker.is_file()
    assert good.log.read_text() == f'seglight {__version__}\n'
    assert ray.options == {'num_cpus': 1, 'max_retries': 3}
    bad = command(workspace, 'bad', 'vote', 'none.csv', '--output', 'voted.csv')
    with pytest.raises(TrainingError, match=r'^bad failed: vote: none.csv does not exist'):
        Runner(1, RayCluster(Ray(CPU=2))).run([[bad]])


def test_each_task_has_a_gpu_where_there_are_gpus() -> None:
    assert RayCluster(Ray(CPU=2, GPU=1)).options['num_gpus'] == 1


def test_a_task_without_a_status_is_explained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.competition.jobs.executor.LATE', 0.5)

    def fail(remote: object, stop: str) -> None:
        raise MemoryError('the machine is full')

    monkeypatch.setattr(ray_cluster, 'run_remote', fail)
    cluster = RayCluster(Ray(CPU=1))
    jobs: list[Any] = []
    status, text = cluster.communicate(['true'], workspace / 'run.log', {}, jobs.append, print)
    assert (status, text) == (1, 'its task of Ray ended with MemoryError: the machine is full')
    assert isinstance(jobs[0], Task)


#: A command that saves on SIGTERM, as `fit` does.
SAVES = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(75)))
print('started', flush=True)
time.sleep(60)
"""


def test_a_signal_lets_the_command_of_a_task_save(workspace: Path) -> None:
    jobs: list[Task] = []

    def show(line: str) -> None:
        if line == 'started':
            jobs[0].send_signal(signal.SIGINT)

    cluster = RayCluster(Ray(CPU=1))
    words, log = [sys.executable, '-c', SAVES], workspace / 'run.log'
    assert cluster.communicate(words, log, {}, jobs.append, show) == (75, 'saved')  # type: ignore[arg-type]


def test_a_task_that_waits_does_not_start_after_a_signal(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteCommand, 'run', lambda *_: pytest.fail('the command was started'))
    Path('stop').touch()
    run_remote(RemoteCommand(['true'], workspace / 'run.log', {}), 'stop')
