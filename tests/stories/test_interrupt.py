"""Ctrl-C in the middle of a run."""

import signal
import subprocess
import sys
from pathlib import Path

import torch


def test_ctrl_c_ends_with_one_line_and_leaves_whole_checkpoints(tiny_config: Path) -> None:
    command = [sys.executable, '-m', 'seglight', 'fit', '--config', str(tiny_config), '--trainer.max_epochs=10000']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith('epoch 3/'):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(err.splitlines()) == 1, err
    newest = err.strip().rsplit(' ', 1)[1]
    assert err.startswith(
        'seglight: stopped by Ctrl-C; the run lies in work_dirs/exp1, its newest checkpoint is epoch_'
    )
    assert torch.load(Path('work_dirs/exp1') / newest, weights_only=True)['epoch'] >= 1
