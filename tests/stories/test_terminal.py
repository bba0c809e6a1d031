"""A run in a real terminal, which has a progress bar."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path


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
    text = shown.decode()
    assert 'Traceback' not in text
    assert 'it/s' in text
    assert text.count('epoch 1/2   loss') == text.count('epoch 2/2   loss') == 1
