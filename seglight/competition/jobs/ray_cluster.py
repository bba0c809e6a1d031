"""Run commands as tasks of Ray."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from seglight.competition.jobs.executor import PAUSE, Executor
from seglight.competition.jobs.remote import RemoteCommand, forget_status
from seglight.errors import one_line


class Task(NamedTuple):
    """A task that runs or waits for a free machine.

    Attributes:
        ray: the library.
        reference: what `.remote()` returned.
        stop: the file that ends the command; Ray's own `cancel` did not reach a task that waits for a process.
    """

    ray: Any
    reference: Any
    stop: Path

    def send_signal(self, number: int) -> None:  # noqa: ARG002  (as a process gets it)
        """Let the command save and end; one that waits for a free machine does not start."""
        self.stop.touch()

    def done(self) -> bool:
        """Return whether the task has ended."""
        ended, _ = self.ray.wait([self.reference], timeout=0)
        return bool(ended)

    def failure(self) -> str:
        """Return why the task ended without a status."""
        try:
            self.ray.get(self.reference)
        except Exception as error:  # whatever Ray raises
            return f'its task of Ray ended with {type(error).__name__}: {one_line(error)[:300]}'
        return 'its task of Ray ended, but its files are not here; all machines must see the same work_dirs'


class RayCluster(Executor):
    """A cluster of Ray, on which each command is a task with one CPU and, if the cluster has GPUs, one GPU.

    Args:
        ray: the library, connected to the cluster.
        max_failures: how often a task runs again after its machine or its process has ended.
    """

    def __init__(self, ray: Any, max_failures: int = 0) -> None:
        self.ray = ray
        self.options = {'num_cpus': 1, 'max_retries': max_failures}
        if ray.cluster_resources().get('GPU', 0) >= 1:
            self.options['num_gpus'] = 1

    def find_or_submit(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Task:  # noqa: ARG002
        """Submit a command as a task; Ray chooses its GPU, and ends tasks with the command that submitted them."""
        forget_status(log)
        run, stop = self.ray.remote(**self.options)(run_remote), log.with_suffix('.stop').absolute()
        stop.unlink(missing_ok=True)  # of an earlier call
        return Task(self.ray, run.remote(RemoteCommand(words, log, {}), str(stop)), stop)


def run_remote(remote: RemoteCommand, stop: str) -> None:
    """Run a command in a task, unless the file that ends it is already there."""
    if not Path(stop).exists():
        remote.run(partial(wait, stop=Path(stop)))


def wait(process: subprocess.Popen[bytes], stop: Path) -> int:
    """Return the status of a process, which saves and ends when a file appears."""
    while process.poll() is None:
        if stop.exists():
            process.terminate()
            return process.wait()
        time.sleep(PAUSE)
    return process.returncode
