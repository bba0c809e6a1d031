"""Two processes on the CPU (gloo) train one run and count every image once."""

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result, write_tiny_config


@pytest.mark.slow
def test_two_processes_share_a_run_and_validate_exactly(
    own_data: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    (own_data / 'img_dir/val/0003.jpg').unlink()  # three images for two processes
    config = write_tiny_config(workspace / 'tiny.yaml', own_data)
    command = [sys.executable, '-m', 'seglight', 'fit', '--config', str(config)]
    command += ['--trainer.devices=2', '--trainer.strategy=ddp', '--trainer.max_epochs=1']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('epoch 1/1') == 1
    assert [path.name for path in Path('work_dirs').iterdir()] == ['exp1']
    with Path('work_dirs/exp1/metrics.csv').open() as file:
        together = next(float(row['val/mIoU']) for row in csv.DictReader(file) if row['val/mIoU'])
    alone = run('validate', '--ckpt', 'exp1/epoch_1.ckpt', '--trainer.accelerator=cpu')
    figure = next(line.split()[1] for line in alone.out.splitlines() if line.split()[0] == 'mIoU')
    assert float(figure) == pytest.approx(100 * together, abs=0.006)
