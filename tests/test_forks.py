"""Shares of work are done in forks, and here where a fork cannot."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seglight.forks import in_processes

only_linux = pytest.mark.skipif(sys.platform != 'linux', reason='only Linux has a safe fork')


def process(share: int) -> tuple[int, int]:
    return share, os.getpid()


def test_each_share_has_a_process() -> None:
    shares, processes = zip(*in_processes(process, [3, 1, 2]), strict=True)
    assert shares == (3, 1, 2)
    assert processes[0] == os.getpid()
    assert len(set(processes)) == (3 if sys.platform == 'linux' else 1)


def test_results_larger_than_a_pipe_arrive() -> None:
    found = in_processes(lambda share: np.full(1 << 20, share), [0, 1, 2])
    assert [int(each.sum()) for each in found] == [0, 1 << 20, 2 << 20]


def test_a_share_whose_fork_is_killed_is_done_here() -> None:
    here = os.getpid()

    def work(share: int) -> tuple[int, int]:
        if share == 1 and os.getpid() != here:
            os._exit(1)
        return process(share)

    assert in_processes(work, [0, 1])[1] == (1, here)


@pytest.mark.parametrize('share', [0, 1])
def test_an_error_is_raised_here_and_ends_the_forks(share: int) -> None:
    def work(given: int) -> None:
        if given == share:
            raise ValueError(f'share {given}')
        time.sleep(0 if given == 0 else 60)

    start = time.monotonic()
    with pytest.raises(ValueError, match=f'share {share}'):
        in_processes(work, [0, 1, 2])
    assert time.monotonic() - start < 30
    assert not multiprocessing.active_children()


def without_processes(*_: object) -> None:
    raise BlockingIOError(11, 'Resource temporarily unavailable')


@pytest.mark.parametrize(
    ('place', 'value'),
    [
        ('seglight.forks.sys.platform', 'darwin'),
        pytest.param('multiprocessing.context.ForkProcess.start', without_processes, marks=only_linux),
    ],
)
def test_without_forks_all_is_done_here(
    place: str, value: str | Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, value)
    assert in_processes(process, [0, 1]) == [(0, os.getpid()), (1, os.getpid())]


WAITING = """
import os, signal, sys, time
from pathlib import Path
from seglight.forks import in_processes

def work(share):
    Path(sys.argv[1], str(os.getpid())).touch()
    time.sleep(1 if share else 60)
    return bytes(1 << 20)

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background ignores
in_processes(work, [0, 1, 2])
"""


def runs(process: str) -> bool:
    """Return whether a process is neither gone nor waits for its parent to look at its end."""
    try:
        return Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@only_linux
@pytest.mark.parametrize('name', ['SIGINT', 'SIGKILL'])
def test_no_fork_outlives_its_process(name: str, tmp_path: Path) -> None:
    command = [sys.executable, '-c', WAITING, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as running:
        while len(list(tmp_path.iterdir())) < 3:
            time.sleep(0.02)
            assert running.poll() is None
        number = getattr(signal, name)
        if name == 'SIGINT':
            os.killpg(running.pid, number)  # as a terminal does
        else:
            running.send_signal(number)
        _, errors = running.communicate(timeout=30)
    assert errors.decode().count('Traceback') == (name == 'SIGINT'), errors
    deadline = time.monotonic() + 30
    while any(runs(path.name) for path in tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
