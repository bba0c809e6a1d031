"""Run each input in its own process, without a network, within limits on time and memory, and record what it does."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

#: Standard modules whose import has a visible effect.
_LOUD = {'antigravity', 'this', 'turtle', 'idlelib', 'webbrowser', 'smtplib', 'ftplib', 'telnetlib'}

#: Audit events of a network, and of another program.
_NETWORK = ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto', 'socket.bind')
_PROGRAM = ('subprocess.Popen', 'os.system', 'os.exec', 'os.posix_spawn', 'os.spawn')

#: How a run asks for its commit, in these very words; it is not run here either, but nobody is to blame for asking.
_HARMLESS = ['git', '-c', 'core.fsmonitor=false', '-c', 'protocol.allow=never', 'rev-parse', '--git-dir']

#: Files of the system that inputs name.
_NAMED = ('/etc/passwd',)

#: Audit events that change a path, which is among their first two arguments.
_CHANGES = ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'os.symlink', 'os.link', 'os.truncate', 'os.chmod')

#: Seconds between two looks at a process that has not ended.
_TICK = 0.25

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Outcome:
    """The outcome of one input: the exit status, seconds, the output, and violations."""

    status: int
    seconds: float
    processor: float
    printed: str
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """Seconds of processor time and of sleep without any, and bytes of memory beyond what the imports take."""

    processor: int = 20
    waiting: float = 60
    memory: int = 3 << 30


class Watch:
    """Records what a process does with audit hooks, and blocks network access.

    Args:
        folder: where files may be written.
        canary: a folder of which nothing may be read.
        known: top-level names of modules that may be imported.
    """

    def __init__(self, folder: Path, canary: Path, known: frozenset[str]) -> None:
        self.folder = os.path.realpath(folder)
        self.canary = os.path.realpath(canary)
        self.known = known
        self.faults: set[str] = set()
        self.active = True
        self.report = -1

    def start(self, report: Path) -> None:
        """Watch this process and its forks, and write each fault to a file immediately."""
        self.report = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Handle an audit event."""
        if not self.active:
            return
        if event == 'import':
            self._imported(str(arguments[0]).partition('.')[0])
        elif event == 'open':
            self._opened(arguments[0], arguments[2])
        elif event in _CHANGES:
            for path in arguments[: 2 if event in ('os.rename', 'os.link') else 1]:
                self._written(path, event)
        elif event in ('socket.bind', 'socket.connect') and isinstance(arguments[1], str):
            self._written(arguments[1], event)  # a socket of this machine, by which the processes of a loader speak
        elif event in _NETWORK or event in _PROGRAM:
            if not (event == 'subprocess.Popen' and arguments[1] == _HARMLESS):
                self._note(f'{event} {arguments[1:3]!r}')
            raise PermissionError(f'{event} is not allowed')

    def _imported(self, name: str) -> None:
        if name in _LOUD or not (name in self.known or name in sys.stdlib_module_names):
            self._note(f'import of {name}')

    def _opened(self, path: Any, flags: Any) -> None:
        if not isinstance(path, (str, bytes)):
            return
        if (real := self._real(path)).startswith(self.canary) or real in _NAMED:
            self._note(f'read {path!r}')
        if isinstance(flags, int) and flags & _WRITING:
            self._written(path, 'wrote')

    def _written(self, path: Any, event: str) -> None:
        if isinstance(path, (str, bytes)):
            real = self._real(path)
            if not real.startswith((self.folder + os.sep, '/dev/')) and real != self.folder:
                self._note(f'{event} {path!r}, outside its folder')

    @staticmethod
    def _real(path: str | bytes) -> str:
        with contextlib.suppress(ValueError, OSError):
            return os.path.realpath(os.fsdecode(path))
        return ''

    def _note(self, fault: str) -> None:
        if len(self.faults) < 20 and fault not in self.faults:
            self.faults.add(fault)
            os.write(self.report, f'{json.dumps(fault)}\n'.encode())


def run_in_sandbox(call: Callable[[], int], watch: Watch, limits: Limits) -> Outcome:
    """Run a call in a fork of this process, in the watched folder, and return the outcome."""
    report, log = Path(watch.folder, '.report'), Path(watch.folder, '.log')
    start = time.monotonic()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _run_child(call, watch, limits, report, log)
    status, processor = _wait(child, limits.waiting)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # processes that it left behind
    printed = log.read_text(errors='replace') if log.exists() else ''
    outcome = Outcome(status, time.monotonic() - start, processor, printed)
    if report.exists():
        outcome.faults += [json.loads(line) for line in report.read_text().splitlines()]
    outcome.faults += _judged(outcome)
    return outcome


def _judged(outcome: Outcome) -> list[str]:
    """Return what is wrong with how a command ended."""
    if outcome.status in (-signal.SIGKILL, -signal.SIGXCPU):
        return ['hang']
    if outcome.status < 0:
        return [f'killed by {signal.Signals(-outcome.status).name}']
    if 'Traceback (most recent call last)' in outcome.printed:
        return ['traceback']
    if outcome.status not in (0, 2):
        return [f'status {outcome.status}']
    if 'out of memory' in outcome.printed:  # only the limit ended it
        return ['memory']
    if outcome.status == 2 and not outcome.printed.strip():
        return ['no reason']
    return []


def _wait(child: int, seconds: float) -> tuple[int, float]:
    """Return a child's exit status and its CPU time in seconds, after killing it if it sleeps too long.

    Only sleep counts, not waiting for a busy processor, nor time in which this process was stopped itself.
    """
    handle = os.pidfd_open(child)
    end = select.poll()
    end.register(handle, select.POLLIN)
    slept = 0.0
    while slept < seconds and not end.poll(1000 * _TICK):
        slept += _TICK * _is_asleep(child)
    os.close(handle)
    if slept >= seconds:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime


def _is_asleep(process: int) -> bool:
    """Return whether a process waits for something other than a processor."""
    with contextlib.suppress(OSError):
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] in 'SD'
    return False


def _run_child(call: Callable[[], int], watch: Watch, limits: Limits, report: Path, log: Path) -> NoReturn:
    """Do the work of the child and leave the process."""
    status = 99
    try:
        os.setsid()
        os.chdir(watch.folder)
        _redirect(log)
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + limits.memory, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        spent = int(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (spent + limits.processor, spent + limits.processor + 5))
        watch.start(report)
        status = call()
    except SystemExit as end:  # for example from --help
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        watch.active = False
        traceback.print_exc()
    finally:
        watch.active = False
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _redirect(log: Path) -> None:
    """Let everything that is printed go into a file, also what libraries of C print."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target in (1, 2):
        os.dup2(handle, target)
    sys.stdin = open(os.devnull)  # noqa: PTH123, SIM115
    sys.stdout = open(1, 'w', encoding='utf-8', closefd=False)  # noqa: SIM115
    sys.stderr = open(2, 'w', 1, 'utf-8', 'backslashreplace', closefd=False)  # noqa: SIM115


def warm_names(extra: Sequence[str]) -> frozenset[str]:
    """Return the top-level names of all modules that are loaded, and some more."""
    return frozenset({name.partition('.')[0] for name in list(sys.modules)} | set(extra))
