"""Two processes on the CPU (gloo) train one run and count every image once."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from compare_runs import differences
from conftest import Result, write_tiny_config
from PIL import Image


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Take back what a run with the strategy `ddp` in this process tells the processes that it might start."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


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


@pytest.mark.slow
@pytest.mark.parametrize('rate', ['0.01', '1e30'])
def test_two_processes_that_write_no_checkpoints_come_to_an_end(data_root: Path, workspace: Path, rate: str) -> None:
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    command = [sys.executable, '-m', 'seglight', 'fit', '--config', str(config), f'--model.optimizer.lr={rate}']
    command += ['--trainer.devices=2', '--trainer.strategy=ddp', '--trainer.enable_checkpointing=false']
    command += ['--data.batch_size=2', '--trainer.max_epochs=1']
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert Path('work_dirs/exp1/optimizer.txt').is_file()
    if rate == '0.01':
        assert done.returncode == 0, done.stderr
    else:
        assert 'is not finite' in done.stderr
        assert Path('work_dirs/exp1/non_finite_step_1.pt').is_file()


@pytest.mark.slow
def test_two_processes_resume_exactly_and_one_goes_on_with_a_notice(
    data_root: Path, workspace: Path, run: Callable[..., Result]
) -> None:
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    config.write_text(config.read_text().replace('batch_size: 4', 'batch_size: 1'))
    command = ['fit', '--config', str(config), '--trainer.strategy=ddp', '--checkpoint.unit=iter', '--work-dir']

    def together(*flags: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, '-m', 'seglight', *command, *flags, '--trainer.devices=2']
        return subprocess.run(words, capture_output=True, text=True)

    whole = together('whole', '--checkpoint.max_keep_ckpts=-1')
    assert whole.returncode == 0, whole.stderr
    for name in ('two', 'one'):  # as after a kill in the first epoch's last step
        folder = Path(name)
        folder.mkdir()
        for file in ('config.yaml', 'environment.yaml', 'metrics.csv', 'iter_1.ckpt', 'iter_2.ckpt', 'iter_3.ckpt'):
            shutil.copy(Path('whole') / file, folder)
    resumed = together('two', '--checkpoint.max_keep_ckpts=-1', '--auto-resume')
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count('Resuming from two/iter_3.ckpt') == 1
    assert differences(Path('whole'), Path('two')) == []
    alone = run(*command, 'one', '--trainer.devices=1', '--auto-resume')
    assert alone.status == 0, alone.err
    assert 'The run of the checkpoint had 2 processes, this run has 1: the order of the samples' in alone.out
    with Path('one/metrics.csv').open() as metrics:
        steps = [int(row['step']) for row in csv.DictReader(metrics) if row['train/loss']]
    # Of 8 samples 6 were seen in 3 steps of 2; 2 steps of one are left, then 8 in the second epoch.
    assert steps == list(range(3 + 2 + 8))


#: A callback that notes what the processes exchange from the first batch of an epoch to the last.
EXCHANGES = """
import json
from pathlib import Path
from pytorch_lightning import Callback
from torch import distributed

class Exchanges(Callback):
    def __init__(self):
        self.calls, self.is_open = [], False

    def on_train_start(self, trainer, pl_module):
        for name in ('all_reduce', 'all_gather_object', 'barrier', 'broadcast', 'broadcast_object_list'):
            setattr(distributed, name, self.noting(name, getattr(distributed, name)))

    def noting(self, name, call):
        def noted(*args, **kwargs):
            if self.is_open:
                self.calls.append([name, kwargs.get('async_op', False)])
            return call(*args, **kwargs)
        return noted

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.is_open = True

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.is_open = batch_idx + 1 < trainer.num_training_batches

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.is_global_zero and trainer.current_epoch == 0:
            Path('exchanges.json').write_text(json.dumps(self.calls))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path('/proc/self/task').is_dir(), reason='finds the second process in /proc')
def test_a_signal_to_one_of_two_processes_stops_both_after_the_same_step(data_root: Path, workspace: Path) -> None:
    config = write_tiny_config(workspace / 'tiny.yaml', data_root)
    command = [sys.executable, '-m', 'seglight', 'fit', '--config', str(config), '--trainer.max_epochs=10000']
    command += ['--trainer.devices=2', '--trainer.strategy=ddp', '--data.batch_size=1']
    Path('exchanges.py').write_text(EXCHANGES)
    command.append('--trainer.callbacks+=exchanges.Exchanges')
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert any(line.startswith('epoch 2/') for line in process.stdout)
            second, *_ = Path(f'/proc/{process.pid}/task/{process.pid}/children').read_text().split()
            os.kill(int(second), signal.SIGTERM)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 75, err
    stops = [line.split(';')[0] for line in err.splitlines() if 'stopped by SIGTERM after step' in line]
    assert len(set(stops)) == 1, err
    saved = torch.load('work_dirs/exp1/last.ckpt', weights_only=True)
    assert saved['global_step'] == int(stops[0].rpartition(' ')[2])
    # In the steps, nothing else is exchanged than what each wants, and none waits for it.
    exchanges = json.loads(Path('exchanges.json').read_text())
    assert exchanges == [['all_reduce', True]] * len(exchanges)
    assert 3 <= len(exchanges) <= 4  # in an epoch of four steps


@pytest.mark.slow
def test_two_processes_predict_and_tell_what_both_have_done(trained: Path, own_data: Path, workspace: Path) -> None:
    images = own_data / 'img_dir/test'
    first = min(images.iterdir())
    (images / f'0{first.name}').write_bytes(first.read_bytes())  # sorts first, so that the second process gets `first`
    first.write_bytes(first.read_bytes()[:300])
    command = [sys.executable, '-m', 'seglight', 'predict', '--ckpt', str(trained / 'epoch_2.ckpt')]
    command += ['--trainer.devices=2', '--trainer.strategy=ddp', '--output=out', '--input']
    done = subprocess.run([*command, str(images)], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (told,) = (line for line in done.stderr.splitlines() if '1 image could not be predicted' in line)
    assert str(first) in told
    assert done.stdout.count('3 images predicted') == 1
    assert done.stdout.count('3 masks in out/masks') == 1
    assert len(list(Path('out/masks').iterdir())) == 3
    shares = [float(line.split()[-2]) for line in done.stdout.splitlines() if line.endswith(' %')]
    labels = np.concatenate([np.asarray(Image.open(path)).ravel() for path in Path('out/masks').iterdir()])
    counts = np.bincount(labels)
    assert shares == pytest.approx(100 * counts[counts > 0] / len(labels), abs=0.0051)


@pytest.mark.slow
@pytest.mark.parametrize('command', ['predict', 'validate'])
def test_fewer_images_than_processes_are_refused_in_one_line(
    command: str, trained: Path, own_data: Path, workspace: Path
) -> None:
    for kind in ('img_dir/val', 'ann_dir/val', 'img_dir/test'):
        for path in sorted((own_data / kind).iterdir())[1:]:
            path.unlink()
    words = [sys.executable, '-m', 'seglight', command, '--ckpt', str(trained / 'epoch_2.ckpt')]
    words += ['--trainer.devices=2', '--trainer.strategy=ddp', f'--data.root={own_data}']
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert 'has 1 image, fewer than the 2 processes' in done.stderr
    assert '--trainer.devices=1' in done.stderr
    assert 'Traceback' not in done.stderr
