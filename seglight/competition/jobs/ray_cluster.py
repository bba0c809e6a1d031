"""Run commands as tasks of Ray."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seglight.competition.jobs.cluster import PAUSE, Executor, Remote, forget_status
from seglight.errors import one_line


class Task(NamedTuple):
    """A task that runs or waits for a free machine.

    Attributes:
        ray: the library.
        reference: what `.remote()` returned.
    """

    ray: Any
    reference: Any

    def send_signal(self, number: int) -> None:  # noqa: ARG002  (as a process gets it)
        """Let the command save and end; a task that waits never starts."""
        self.ray.cancel(self.reference)

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
        run = self.ray.remote(**self.options)(run_remote)
        return Task(self.ray, run.remote(Remote(words, log, {})))


def run_remote(remote: Remote) -> None:
    """Run a command in a task."""
    remote.run(wait)


def wait(process: subprocess.Popen[bytes]) -> int:
    """Return the status of a process; `ray.cancel` raises KeyboardInterrupt here, on which the process saves."""
    while True:
        try:
            while process.poll() is None:
                time.sleep(PAUSE)
            return process.returncode
        except KeyboardInterrupt:
            process.terminate()
