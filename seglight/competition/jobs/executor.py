"""What runs commands as jobs, and how to follow one to its end."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

from seglight.competition.jobs.lines import Lines
from seglight.competition.jobs.remote import status_file

#: Seconds between two looks at a job, and until what it has written is seen.
PAUSE, LATE = 0.5, 15.0

T = TypeVar('T')


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


def _status(log: Path) -> int | None:
    """Return the status of a command that has ended; None if there is none."""
    return seen_late(lambda: int(status_file(log).read_text()))


def seen_late(look: Callable[[], T | None]) -> T | None:
    """Return what another machine has written, which a network file system may show late.

    Args:
        look: returns it; None, `OSError` or `ValueError` if it is not there yet.
    """
    for _ in range(int(LATE / PAUSE)):
        with suppress(OSError, ValueError):
            if (found := look()) is not None:
                return found
        time.sleep(PAUSE)
    return None
