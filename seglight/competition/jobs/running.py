"""Run seglight's commands as processes: several at once, stopped together, each with a log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol

from seglight.competition.jobs.executor import Executor, seen_late
from seglight.errors import Interrupted, TrainingError, UsageError, harmless, one_line, say
from seglight.run_lock import TRAINS, RunLock

#: Lines of a command's output that are shown at once; its log has all.
SHOWN = re.compile(r'(epoch \d+/|Resuming |seglight: )')

#: Signals that stop a run after its current step.
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Command(NamedTuple):
    """A command of seglight, done once its marker exists.

    Attributes:
        title: for messages.
        words: the command line.
        marker: an empty file, written when the command has succeeded.
        log: the file that its output is appended to.
        folder: the folder that the command locks, since the process of an earlier, killed command may still use it.
        result: pattern of the files of which the folder must have one when the command has succeeded; empty for none.
        use: what that process does in the folder, for the message.
    """

    title: str
    words: Sequence[str]
    marker: Path
    log: Path
    folder: Path
    result: str = ''
    use: str = TRAINS


class Running(Protocol):
    """A process, or a job of a cluster."""

    def send_signal(self, number: int, /) -> None:
        """Let it save and end."""


class Runner:
    """Runs jobs, each a sequence of commands, several at once.

    After a signal or a failure no further command starts; a signal is passed on to the running ones, which then save
    and end.

    Args:
        jobs: number of processes at once.
        cluster: where they run, by default on this machine.
    """

    def __init__(self, jobs: int = 1, cluster: Executor | None = None) -> None:
        self.jobs = jobs
        self.cluster = cluster
        self._running: dict[int, Running] = {}  # by slot
        self._free = list(range(jobs))
        self._lock = threading.Lock()
        self._signal: signal.Signals | None = None
        self._failure: Exception | None = None

    def run(self, jobs: Sequence[Sequence[Command]]) -> None:
        """Run all commands that are not done.

        Raises:
            Interrupted: after a signal, when the running commands have ended.
            TrainingError: for the first command that failed.
        """
        with self._signals(), ThreadPoolExecutor(self.jobs) as pool:
            for job in jobs:
                pool.submit(self._run_job, job)
        if self._signal is not None:
            raise Interrupted(f'stopped by {self._signal.name}; the same command resumes')
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Pass signals on to the running commands; they are in sessions of their own and receive no others."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (as a handler gets it)
        self._signal = signal.Signals(number)
        for process in list(self._running.values()):
            process.send_signal(number)

    def _stopped(self) -> bool:
        return self._signal is not None or self._failure is not None

    def _run_job(self, job: Sequence[Command]) -> None:
        """Run the commands of a job in turn, in a thread."""
        for command in job:
            if self._stopped():
                return
            if command.marker.is_file():
                continue
            try:
                self._wait_until_free(command)
                if not self._stopped():
                    self._run_command(command)
            except Exception as error:  # whatever it is, the caller raises it
                self._failure = self._failure or error

    def _wait_until_free(self, command: Command) -> None:
        """Wait while a process that outlived an earlier, killed command uses the folder."""
        told = False
        while not self._stopped():
            try:
                RunLock(command.folder, use=command.use).check()
                return
            except UsageError as error:
                if not told:
                    say(f'{command.title}: waiting, {one_line(error).partition(";")[0]}')
                told = True
                time.sleep(0.5)

    def _run_command(self, command: Command) -> None:
        """Run a command to its end.

        Raises:
            TrainingError: if it fails or leaves no result; no error after a signal.
        """
        with self._lock:
            slot = self._free.pop(0)
        try:
            status, last = self._communicate(command, slot)
        finally:
            with self._lock:
                self._running.pop(slot, None)
                self._free.insert(0, slot)
        if status == 0:
            if command.result and not self._has_result(command):
                raise TrainingError(f'{command.title} left no {command.result} in {command.folder}, see {command.log}')
            command.marker.parent.mkdir(parents=True, exist_ok=True)
            command.marker.touch()
        elif status == Interrupted.status and not self._stopped():
            raise Interrupted(f'{command.title} was stopped; the same command resumes')
        elif not self._stopped():
            reason = last or f'status {status}'
            raise TrainingError(f'{command.title} failed: {reason} (all output is in {command.log})')

    def _has_result(self, command: Command) -> bool:
        """Return whether a command has left its result."""

        def look() -> Path | None:
            return next(command.folder.glob(command.result), None)

        return (seen_late(look) if self.cluster else look()) is not None

    def _communicate(self, command: Command, slot: int) -> tuple[int, str]:
        """Start a process, log and show its output, and return its status and its last line."""
        words = [sys.executable, '-m', 'seglight', *command.words]
        if self.cluster:
            running, show = partial(self._know, slot), partial(_show, command.title)
            own = environment(slot, self.jobs)
            status, last = self.cluster.communicate(words, command.log, own, running, show)
            return status, harmless(last).removeprefix('seglight: ')
        last = ''
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with (
            command.log.open('ab') as log,
            subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(slot, self.jobs),
                start_new_session=True,
            ) as process,
        ):
            self._know(slot, process)
            assert process.stdout
            for line in process.stdout:
                log.write(line)
                log.flush()
                text = harmless(line.decode(errors='replace').strip())
                last = text or last
                _show(command.title, text)
        return process.returncode, last.removeprefix('seglight: ')

    def _know(self, slot: int, running: Running) -> None:
        """Keep what runs in a slot, and pass a signal on that came before."""
        self._running[slot] = running
        if self._signal is not None:
            running.send_signal(self._signal)


def _show(title: str, line: str) -> None:
    """Show the lines of a command that matter at once."""
    if SHOWN.match(line):
        say(f'{title}: {line.removeprefix("seglight: ")}')


def check_jobs(jobs: int) -> None:
    """Check the value of `--jobs`.

    Raises:
        UsageError: if it is below 1.
    """
    if jobs < 1:
        raise UsageError(f'--jobs must be at least 1, got {jobs}')


def environment(slot: int, jobs: int) -> dict[str, str]:
    """Return the environment of the process in a slot: with several jobs, each uses one of several GPUs, in turn."""
    gpus = visible_gpus() if jobs > 1 else []
    if len(gpus) < 2:
        return dict(os.environ)
    return {**os.environ, 'CUDA_VISIBLE_DEVICES': gpus[slot % len(gpus)]}


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    if visible is not None:
        return [name.strip() for name in visible.split(',') if name.strip()]
    import torch  # late: nothing else here needs it

    return [str(index) for index in range(torch.cuda.device_count())]
