"""One process at a time trains in a folder."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

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
