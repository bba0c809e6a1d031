"""Commands run as tasks of Ray, with a stand-in for Ray; tests/stories/test_ray.py runs them on it."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seglight import __version__
from seglight.competition.jobs import ray_cluster
from seglight.competition.jobs.ray_cluster import RayCluster, Task, wait
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
    monkeypatch.setattr('seglight.competition.jobs.cluster.LATE', 0.5)

    def fail(remote: object) -> None:
        raise MemoryError('the machine is full')

    monkeypatch.setattr(ray_cluster, 'run_remote', fail)
    cluster = RayCluster(Ray(CPU=1))
    jobs: list[Any] = []
    status, text = cluster.communicate(['true'], workspace / 'run.log', {}, jobs.append, print)
    assert (status, text) == (1, 'its task of Ray ended with MemoryError: the machine is full')
    assert isinstance(jobs[0], Task)


def test_cancelling_lets_the_command_save() -> None:
    code = 'import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(75)); print(1); time.sleep(60)'
    with subprocess.Popen([sys.executable, '-uc', code], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()  # as `ray.cancel` does in the task
        begin = time.monotonic()
        assert wait(process) == 75
        assert time.monotonic() - begin < 30
