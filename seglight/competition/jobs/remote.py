"""A command on another machine, and the file in which it leaves its status."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seglight.extras import import_extra
from seglight.files import as_bytes, write_atomically


class RemoteCommand:
    """A command on a machine of a cluster, as a job of submitit or a task of Ray.

    At the time limit of a job of SLURM it saves, and the job is requeued.

    Args:
        words: the command line, which ends on SIGTERM after it has saved.
        log: the file that its output is appended to; its status goes into a file beside it, since the results of
            submitit and Ray are pickles.
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
        write_atomically(status_file(self.log), as_bytes(f'{status}\n'))

    def checkpoint(self) -> Any:
        """Let the command save, and return what the requeued job runs; submitit calls this at the time limit."""
        if self._process is not None:
            self._process.terminate()
            with suppress(ChildProcessError):  # it has ended
                # Not `wait`, whose lock the call that this handler interrupts may hold.
                os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        again = RemoteCommand(self.words, self.log, self.environment)
        again.folder = self.folder
        return import_extra('submitit.helpers', 'slurm', '--cluster').DelayedSubmission(again)

    def _stop(self, number: int, frame: object) -> None:  # noqa: ARG002  (as a handler gets it)
        if self._process is not None:
            self._process.send_signal(number)


def _ignore_signals_of_the_limit() -> None:
    for name in ('SIGUSR1', 'SIGUSR2'):  # which Windows lacks, as it lacks clusters
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def forget_status(log: Path) -> None:
    """Remove the status of an earlier command that wrote a log."""
    status_file(log).unlink(missing_ok=True)


def status_file(log: Path) -> Path:
    """Return the file with the status of the command that wrote a log."""
    return log.with_suffix('.status')
