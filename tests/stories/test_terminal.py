"""A run in a real terminal, which has a progress bar."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

fcntl = pytest.importorskip('fcntl', reason='terminals of Unix')
pty = pytest.importorskip('pty')
termios = pytest.importorskip('termios')


def test_a_run_in_a_terminal_has_a_bar_and_a_line_for_each_epoch(tiny_config: Path) -> None:
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 120, 0, 0))
    command = [sys.executable, '-m', 'seglight', 'fit', '--config', str(tiny_config)]
    process = subprocess.Popen(command, stdout=its_end, stderr=its_end)
    os.close(its_end)
    shown = b''
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    assert process.wait() == 0, shown.decode()
    text = re.sub(r'\x1b\[[0-9;?]*[a-zA-Z]', '', shown.decode())  # without colours
    assert 'Traceback' not in text
    bars = re.findall(r'loss: ([\d.]+) lr: ([\d.e-]+) images/s: ([\d.]+) left: (\d:\d\d:\d\d)', ' '.join(text.split()))
    assert (
        0.01 >= float(bars[0][1]) > float(bars[-1][1]) == 0.00294
    )  # (0.01 - 1e-4) * 0.25^0.9 + 1e-4 in the last of 4 steps
    assert all(float(speed) > 0 for _, _, speed, _ in bars)
    assert bars[-1][3] == '0:00:00'
    table = [line.split() for line in text.splitlines() if line.strip().startswith('Battery')]
    assert len(table) == 3  # after each validation, and at the end
    assert table[-1] == [*table[-2], '%']
    assert text.count('epoch 1/2   loss') == text.count('epoch 2/2   loss') == 1
