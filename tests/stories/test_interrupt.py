"""Ctrl-C in the middle of a run."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture
def endless_run(tiny_config: Path) -> Iterator[subprocess.Popen[str]]:
    """A run that only a signal ends; it listens to SIGINT even where these tests run in the background."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'seglight', 'fit', '--config', str(tiny_config), '--trainer.max_epochs=10000'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_with_one_line_and_leaves_whole_checkpoints(endless_run: subprocess.Popen[str]) -> None:
    assert endless_run.stdout is not None
    for line in endless_run.stdout:
        if line.startswith('epoch 3/'):
            break
    endless_run.send_signal(signal.SIGINT)
    _, err = endless_run.communicate(timeout=60)
    assert endless_run.returncode == 130
    assert len(err.splitlines()) == 1, err
    newest = err.strip().rsplit(' ', 1)[1]
    assert err.startswith(
        'seglight: stopped by Ctrl-C; the run lies in work_dirs/exp1, its newest checkpoint is epoch_'
    )
    assert torch.load(Path('work_dirs/exp1') / newest, weights_only=True)['epoch'] >= 1
