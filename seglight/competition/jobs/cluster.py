"""Run commands as jobs of a cluster, through submitit."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from seglight.competition.jobs.executor import Executor
from seglight.competition.jobs.remote import RemoteCommand, forget_status
from seglight.errors import UsageError, one_line
from seglight.extras import import_extra
from seglight.files import as_bytes, write_atomically
from seglight.plain_text import load_yaml

#: What submitit asks the cluster for, unless --cluster-option sets it; its own limit is 5 minutes.
DEFAULTS = {'timeout_min': 24 * 60, 'gpus_per_node': 1}

#: How often a job that reached its time limit may go on.
RESUMED = 1000


class SubmititJob(NamedTuple):
    """A job of submitit.

    Attributes:
        cluster: where it runs.
        submitted: submitit's own object.
    """

    cluster: str
    submitted: Any

    def send_signal(self, number: int) -> None:  # noqa: ARG002  (as a process gets it)
        """Let the job save and end; SLURM grants it `KillWait`, 30 seconds by default."""
        if self.cluster == 'slurm':
            self.submitted.cancel(check=False)
        else:  # the number is the process that controls the job
            with suppress(ProcessLookupError):
                os.kill(int(self.submitted.job_id), signal.SIGTERM)

    def done(self) -> bool:
        """Return whether the job has ended."""
        return bool(self.submitted.done())

    def failure(self) -> str:
        """Return the state of the job."""
        job = self.submitted
        return f'job {job.job_id} ended in the state {job.state}; its own output is in {job.paths.stderr}'


class Cluster(Executor):
    """A cluster.

    Args:
        name: `slurm`, or `local` for processes of this machine.
        options: what to ask for, as `KEY=VALUE`, with the names of submitit's `AutoExecutor.update_parameters`.

    Raises:
        UserError: if submitit is not installed, there is no such cluster, or it does not have an option.
    """

    def __init__(self, name: str, options: Sequence[str] = ()) -> None:
        self.name = name
        self.options: dict[str, Any] = dict(DEFAULTS)
        for option in options:
            key, equals, text = option.partition('=')
            if not equals:
                raise UsageError(f"--cluster-option must look like timeout_min=240, got '{option}'")
            self.options[key] = load_yaml(text, f'--cluster-option {key}')
        with tempfile.TemporaryDirectory() as folder:
            try:
                self._executor(Path(folder))
            except (AssertionError, NameError, RuntimeError, ValueError) as error:
                raise UsageError(f'--cluster {name}: {one_line(str(error).splitlines()[0])}') from error

    def _executor(self, folder: Path) -> Any:
        submitit = import_extra('submitit', 'slurm', '--cluster')
        often = {f'{self.name}_max_num_timeout': RESUMED}
        executor = submitit.AutoExecutor(folder=folder, cluster=self.name, **often)
        executor.update_parameters(**self.options)
        return executor

    def find_or_submit(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> SubmititJob:
        """Return the job of an earlier call that still runs or waits, or else a new one.

        The files of submitit are in the folder `.submitit` beside the log.
        """
        return SubmititJob(self.name, self._earlier(log) or self._submit(words, log, environment))

    def _submit(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Any:
        gpus = {'CUDA_VISIBLE_DEVICES': environment.get('CUDA_VISIBLE_DEVICES')} if self.name == 'local' else {}
        forget_status(log)
        job = self._executor(log.parent / '.submitit').submit(RemoteCommand(words, log, gpus))
        write_atomically(_number_file(log), as_bytes(f'{self.name} {job.job_id}\n'))
        return job

    def _earlier(self, log: Path) -> Any:
        """Return the job of an earlier call if SLURM still has it; jobs on this machine hold the lock of their run."""
        with suppress(OSError, ValueError):
            name, number = _number_file(log).read_text().split()
            if name == self.name == 'slurm':
                submitit = import_extra('submitit', 'slurm', '--cluster')
                job = submitit.SlurmJob(folder=log.parent / '.submitit', job_id=number)
                return None if job.done(force_check=True) else job
        return None


def _number_file(log: Path) -> Path:
    """Return the file with the number of the job that writes a log."""
    return log.with_suffix('.job')
