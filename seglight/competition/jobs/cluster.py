"""Run commands as jobs of a cluster, through submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from seglight.errors import UsageError, one_line
from seglight.extras import import_extra
from seglight.files import as_bytes, write_atomically
from seglight.plain_text import load_yaml

#: What submitit asks the cluster for, unless --cluster-option sets it; its own limit is 5 minutes.
DEFAULTS = {'timeout_min': 24 * 60, 'gpus_per_node': 1}

#: How often a job that reached its time limit may go on.
RESUMED = 1000

#: Seconds between two looks at a job, and until what it has written is seen.
PAUSE, LATE = 0.5, 15.0


class Remote:
    """A command as submitit runs it on a machine of the cluster; at the time limit it saves, and the job is requeued.

    Args:
        words: the command line, which ends on SIGTERM after it has saved.
        log: the file that its output is appended to; its status goes into a file beside it, since the results of
            submitit are pickles.
        environment: the variables that differ from those of the job; None removes one.
    """

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str | None]) -> None:
        self.words = list(words)
        self.log = log.absolute()
        self.folder = str(Path.cwd())
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Run the command, pass SIGTERM on to it, and write its status."""
        signal.signal(signal.SIGTERM, self._stop)
        self.run(subprocess.Popen.wait)

    def run(self, wait: Callable[[subprocess.Popen[bytes]], int]) -> None:
        """Run the command, and write its status.

        Args:
            wait: returns the status of the process, when it has ended.
        """
        # srun's variables describe this process; the command starts its own for several GPUs.
        environ = {name: value for name, value in os.environ.items() if not name.startswith(('SLURM_', 'SUBMITIT_'))}
        for name, value in self.environment.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        with (
            self.log.open('ab') as log,
            subprocess.Popen(
                self.words,
                cwd=self.folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # SLURM sends the signal of the time limit to all processes of the job.
                preexec_fn=_ignore_signals_of_the_limit,
            ) as self._process,
        ):
            status = wait(self._process)
        write_atomically(_status_file(self.log), as_bytes(f'{status}\n'))

    def checkpoint(self) -> Any:
        """Let the command save, and return what the requeued job runs; submitit calls this at the time limit."""
        if self._process is not None:
            self._process.terminate()
            with suppress(ChildProcessError):  # it has ended
                # Not `wait`, whose lock the call that this handler interrupts may hold.
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        again = Remote(self.words, self.log, self.environment)
        again.folder = self.folder
        return import_extra('submitit.helpers', 'slurm', '--cluster').DelayedSubmission(again)

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002  (as a handler gets it)
        if self._process is not None:
            self._process.send_signal(number)


def _ignore_signals_of_the_limit() -> None:
    for name in ('SIGUSR1', 'SIGUSR2'):  # which Windows lacks, as it lacks clusters
        signal.signal(getattr(signal, name), signal.SIG_IGN)


class Job(Protocol):
    """A job that runs or waits."""

    def send_signal(self, number: int, /) -> None:
        """Let it save and end."""

    def done(self) -> bool:
        """Return whether it has ended."""

    def failure(self) -> str:
        """Return why it ended without a status."""


class Executor(ABC):
    """Machines that run commands as jobs."""

    @abstractmethod
    def find_or_submit(self, words: Sequence[str], log: Path, environment: Mapping[str, str]) -> Job:
        """Return a job that runs a command, as `communicate` gets it."""

    def communicate(
        self,
        words: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        running: Callable[[Job], None],
        show: Callable[[str], None],
    ) -> tuple[int, str]:
        """Run a command as a job, or wait for the job of an earlier call that still runs or waits.

        Args:
            words: the command line.
            log: the file that its output is appended to; the files of the job are beside it.
            environment: with the GPUs to use, for a job on this machine.
            running: receives the job.
            show: receives each line that the command prints.

        Returns:
            The status of the command, and its last line.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = Lines(log, lambda line: show(line.strip()))
        job = self.find_or_submit(words, log, environment)
        running(job)
        while not job.done():
            lines.read()
            time.sleep(PAUSE)
        status = _status(log)
        lines.read()
        if status is None:  # the machine failed, the job was cancelled, or it ran out of memory
            return 1, job.failure()
        return status, lines.last


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
        job = self._executor(log.parent / '.submitit').submit(Remote(words, log, gpus))
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


class Lines:
    """The lines that a command appends to its log from now on.

    Args:
        log: the file, which need not exist yet.
        show: receives each line, without its end.
    """

    def __init__(self, log: Path, show: Callable[[str], None]) -> None:
        self.log = log
        self.show = show
        self.last = ''
        self._position = log.stat().st_size if log.exists() else 0

    def read(self) -> None:
        """Show the lines that are complete."""
        if not self.log.exists():
            return
        with self.log.open('rb') as file:
            file.seek(self._position)
            for line in iter(partial(file.readline), b''):
                if not line.endswith(b'\n'):
                    return
                self._position += len(line)
                text = line.decode(errors='replace').rstrip('\r\n')
                self.last = text.strip() or self.last
                self.show(text)


def _status(log: Path) -> int | None:
    """Return the status of a command that has ended; a network file system may show it late. None if there is none."""
    for _ in range(int(LATE / PAUSE)):
        with suppress(OSError, ValueError):
            return int(_status_file(log).read_text())
        time.sleep(PAUSE)
    return None


def forget_status(log: Path) -> None:
    """Remove the status of an earlier command that wrote a log."""
    _status_file(log).unlink(missing_ok=True)


def _status_file(log: Path) -> Path:
    """Return the file with the status of the command that wrote a log."""
    return log.with_suffix('.status')


def _number_file(log: Path) -> Path:
    """Return the file with the number of the job that writes a log."""
    return log.with_suffix('.job')
