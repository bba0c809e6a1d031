"""Runs sections in a process of their own, within time limits.

A worker answers `{"ready": null}` once it has imported everything. Then it reads names of sections from its standard
input, and answers with a JSON object in a line for each row, and `{"done": null}` or `{"failed": "the reason"}` last.
It prints to a log file.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu.plan import Planned
from gpu.results import Results, Section


class OutOfTimeError(Exception):
    """A section took longer than it may."""


class WorkerDiedError(Exception):
    """The worker ended without an answer."""


class Worker:
    """A process that runs sections.

    Args:
        command: starts it; the number of the file descriptor for its answers is added.
        environment: additional environment variables.
        log: receives what it prints.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._answers, theirs = os.pipe()
        with log.open('a') as file:
            self._process = subprocess.Popen(
                [*command, str(theirs)],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[theirs],
                start_new_session=True,  # so that its loader processes end with it
                env={**os.environ, **environment},
            )
        os.close(theirs)
        self._log = log
        self._received = b''

    def wait_until_ready(self, deadline: float) -> None:
        """Wait until it can run sections.

        Raises:
            OutOfTimeError: if that is not before the deadline.
            WorkerDiedError: if the process ends.
        """
        self._line(deadline)

    def run(self, name: str, deadline: float) -> Iterator[dict[str, Any]]:
        """Run a section and yield its answers until the last.

        Raises:
            OutOfTimeError: if it does not end before the deadline, in seconds of `time.monotonic`.
            WorkerDiedError: if the process ends.
        """
        assert self._process.stdin
        try:
            self._process.stdin.write(f'{name}\n'.encode())
            self._process.stdin.flush()
        except OSError as error:
            raise self._died() from error
        while True:
            answer: dict[str, Any] = json.loads(self._line(deadline))
            yield answer
            if 'row' not in answer:
                return

    def end(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._answers)

    def _line(self, deadline: float) -> bytes:
        while b'\n' not in self._received:
            ready, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise OutOfTimeError
            new = os.read(self._answers, 1 << 16)
            if not new:
                raise self._died()
            self._received += new
        line, _, self._received = self._received.partition(b'\n')
        return line

    def _died(self) -> WorkerDiedError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        last = self._log.read_text(errors='replace').strip().splitlines()[-1:]
        return WorkerDiedError(': '.join([f'the process ended with status {self._process.returncode}', *last]))


class Supervisor:
    """Runs planned sections one after the other.

    Args:
        results: receives all results, and is written after each.
        start: starts the worker of a phase.
        end: when all must be done, in seconds of `time.monotonic`.
    """

    def __init__(self, results: Results, start: Callable[[str], Worker], end: float) -> None:
        self.results = results
        self.end = end
        self._start = start
        self._worker: Worker | None = None
        self._phase = ''

    def run(self, plan: Sequence[Planned]) -> None:
        """Run the sections of a plan; each must be in the results."""
        sections = {section.name: section for section in self.results.sections}
        try:
            for planned in plan:
                section = sections[planned.name]
                self._run_section(planned, section)
                if planned.essential and section.status != 'done':
                    self.end = 0.0  # nothing else can work
        except BaseException:
            for section in self.results.sections:
                if section.status in ('waiting', 'running'):
                    section.status = 'stopped'
            raise
        finally:
            self._end_worker()
            self.results.write()

    def _run_section(self, planned: Planned, section: Section) -> None:
        start = time.monotonic()
        if start >= self.end:
            section.status = 'skipped'
            section.error = 'no time was left' if self.end else 'an essential section failed'
            return
        section.status = 'running'
        self.results.write()
        limit = self.end - start
        try:
            worker = self._worker_of(planned.phase)
            start = time.monotonic()
            limit = min(planned.limit, self.end - start)
            for answer in worker.run(planned.name, start + limit):
                self._take(answer, section, start)
        except OutOfTimeError:
            section.status, section.error = 'out of time', f'ended after {limit:.3g} s'
            self._end_worker()
        except WorkerDiedError as error:
            section.status, section.error = 'failed', str(error)
            self._end_worker()
        section.seconds = time.monotonic() - start
        self.results.write()

    def _take(self, answer: dict[str, Any], section: Section, start: float) -> None:
        """Record an answer of the worker."""
        section.seconds = time.monotonic() - start
        if 'row' in answer:
            section.rows.append(answer['row'])
            self.results.write()
        elif 'failed' in answer:
            section.status, section.error = 'failed', answer['failed']
            self._end_worker()  # after an error of CUDA nothing else works in its process
        else:
            section.status = 'done'

    def _worker_of(self, phase: str) -> Worker:
        """Return the running worker of a phase, started if needed."""
        if phase != self._phase:
            self._end_worker()
        if self._worker is None:
            self._worker, self._phase = self._start(phase), phase
            self._worker.wait_until_ready(self.end)
        return self._worker

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None
