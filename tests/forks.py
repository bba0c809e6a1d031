"""Commands as forks of the tests' process, which has imported everything already: seconds less for each."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import IO, Any, NoReturn

import pytest

from seglight import __main__ as seglight
from seglight.competition.jobs import running

#: Whether commands can be forks; other systems cannot fork, or not a process that has loaded their libraries.
HAS_FORKS = sys.platform == 'linux'

_lock = threading.Lock()


class Forked:
    """As much of `subprocess.Popen` as tests and `Runner` need, for `python -m seglight`.

    Args:
        command: the words, of which the first three start seglight.
        env: the environment; by default that of this process.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str] | None = None, **_: object) -> None:
        assert list(command[:3]) == [sys.executable, '-m', 'seglight']
        self.returncode: int | None = None
        with _lock, warnings.catch_warnings():  # no other fork may inherit the end of the pipe
            warnings.simplefilter('ignore', DeprecationWarning)  # of Python 3.12, for a process with threads
            reading, writing = os.pipe()
            self.pid = os.fork()
            if not self.pid:
                _become(command[3:], writing, env)
            os.close(writing)
        self.stdout: IO[bytes] = os.fdopen(reading, 'rb')

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        self.stdout.close()
        self.wait()

    def poll(self) -> int | None:
        """Return the status; None while it runs."""
        return self._wait(os.WNOHANG)

    def wait(self) -> int | None:
        """Wait for the end, and return the status."""
        return self._wait(0)

    def communicate(self) -> tuple[str, None]:
        """Wait for the end, and return what it printed."""
        out = self.stdout.read().decode()
        self.wait()
        return out, None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _wait(self, options: int) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, options)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode


def _become(words: Sequence[str], output: int, env: Mapping[str, str] | None) -> NoReturn:
    """Run a command in this process, a fork, as a new one would in a session of its own, and end it."""
    status = 1
    try:
        os.setsid()
        globals()['_lock'] = threading.Lock()  # the inherited one stays locked
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for path in list(Path('/proc/self/fd').iterdir()):  # also pipes and locks of the process before
            with contextlib.suppress(OSError):
                os.dup2(nothing, max(int(path.name), 3))
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(os.fdopen(fd, 'wb', 0, closefd=False), write_through=True) for fd in (1, 2)
        )
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        sys.argv = ['seglight', *words]
        try:
            seglight.main()
            status = 0
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(status)


def start(*words: str) -> Any:
    """Start a command: as a fork where that is possible."""
    import subprocess

    command = [sys.executable, '-m', 'seglight', *words]
    if HAS_FORKS:
        return Forked(command)
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture
def forked_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the commands that `Runner` starts forks, where that is possible."""
    if HAS_FORKS:
        names = SimpleNamespace(Popen=Forked, DEVNULL=None, PIPE=None, STDOUT=None)
        monkeypatch.setattr(running, 'subprocess', names)
