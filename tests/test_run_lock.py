"""One process at a time trains in a folder."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from seglight import run_lock
from seglight.errors import ConfigError
from seglight.run_lock import RunLock, used

HOLD = """
import sys
import time
from pathlib import Path
from torch.utils.data import DataLoader
from seglight.run_lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
for _ in DataLoader(range(4), num_workers=1, persistent_workers=True):
    print('held', flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_told_who_holds_the_folder_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    held = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout and held.stdout.readline() == 'held\n'
    with pytest.raises(
        ConfigError, match=f'in use: process {held.pid} on {socket.gethostname()}, since 20.*trains there'
    ):
        RunLock(tmp_path).acquire()
    with pytest.raises(ConfigError, match=f'process {held.pid}'):
        RunLock(tmp_path).check()
    held.send_signal(signal.SIGKILL)  # its loader process lives on for some seconds
    held.wait()
    lock = RunLock(tmp_path)
    lock.acquire()
    assert str(os.getpid()) in (tmp_path / '.lock_holder').read_text()
    lock.release()
    RunLock(tmp_path).check()
    assert not used(tmp_path)


def test_a_folder_that_cannot_be_written_is_left_to_the_first_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    lock = RunLock(tmp_path)
    monkeypatch.setattr(lock._lock, 'acquire', refuse)
    lock.acquire()
    assert capsys.readouterr() == ('', '')
    assert not (tmp_path / '.lock_holder').exists()


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets this process have the name of another machine; the file system has no locks, and signs of life are fast."""

    def none(*_: object, **__: object) -> None:
        raise NotImplementedError('no locks')

    monkeypatch.setattr(FileLock, 'acquire', none)
    monkeypatch.setattr(run_lock, 'BEAT', 0.02)
    monkeypatch.setattr(run_lock, 'SILENCE', 0.5)
    return lambda name: monkeypatch.setattr(socket, 'gethostname', lambda: name)


def test_a_run_on_another_machine_holds_the_folder_without_locks_of_the_file_system(
    tmp_path: Path, machines: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    machines('m1')
    first = RunLock(tmp_path)
    first.acquire()
    assert 'cannot lock' in capsys.readouterr().err
    machines('m2')
    in_use = f'{tmp_path} is in use: process {os.getpid()} on m1, since 20.*, trains there; wait until it ends'
    for refused in (RunLock(tmp_path).acquire, RunLock(tmp_path).check):
        with pytest.raises(ConfigError, match=in_use):
            refused()
    assert ' on m1, ' in (tmp_path / '.lock_holder').read_text()
    first.release()
    capsys.readouterr()
    RunLock(tmp_path).acquire()
    assert capsys.readouterr().out == ''
    assert ' on m2, ' in (tmp_path / '.lock_holder').read_text()


def test_a_machine_that_died_holds_nothing(
    tmp_path: Path, machines: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / '.lock_holder').write_text('process 7 on m1, since 2026-01-01 00:00:00+00:00,')
    machines('m2')
    lock = RunLock(tmp_path)
    lock.acquire()
    assert f'{tmp_path} was used by process 7 on m1, since 2026' in capsys.readouterr().out
    assert f'process {os.getpid()} on m2, ' in (tmp_path / '.lock_holder').read_text()
    lock.release()
    assert not (tmp_path / '.lock_holder').exists()


def test_windows_is_not_asked_by_a_signal_whether_the_holder_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / '.lock_holder').write_text(f'process 7 on {socket.gethostname()}, since 2026-01-01 00:00:00+00:00,')
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, 'kill', lambda *arguments: sent.append(arguments))
    with FileLock(tmp_path / '.lock'):
        monkeypatch.setattr(sys, 'platform', 'win32')  # where os.kill(7, 0) ends the console of process 7
        with pytest.raises(ConfigError, match='in use: process 7 on'):
            RunLock(tmp_path).acquire()
        monkeypatch.undo()
    assert not sent
