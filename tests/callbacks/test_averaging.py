"""Weight averaging: before the first average, the trained weights are used."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import waits
from conftest import Result
from pytorch_lightning.callbacks import EMAWeightAveraging
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from seglight.callbacks.averaging import TrainedUntilAveraged

Run = Callable[..., Result]

PLAIN = ['--trainer.max_epochs=2', '--model.optimizer.lr=0.1']
LATE = ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.update_starting_at_step']


def weights(path: str) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)['state_dict']
    return found


def figures(folder: str) -> list[str]:
    lines = Path(folder, 'metrics.csv').read_text().splitlines()
    place = lines[0].split(',').index('val/mIoU')
    return [line.split(',')[place] for line in lines[1:]]


@pytest.mark.parametrize(('start', 'alike'), [(100, [True, True]), (3, [True, True]), (2, [True, False])])
def test_before_the_first_update_a_run_equals_one_without_averaging(
    tiny_config: Path, run: Run, start: int, alike: list[bool]
) -> None:
    assert run('fit', '--config', tiny_config, *PLAIN, '--work-dir', 'plain').status == 0
    late = run('fit', '--config', tiny_config, *PLAIN, LATE[0], f'{LATE[1]}={start}', '--work-dir', 'late')
    assert late.status == 0, late.err
    for epoch, same in zip((1, 2), alike, strict=True):
        own, other = weights(f'plain/epoch_{epoch}.ckpt'), weights(f'late/epoch_{epoch}.ckpt')
        assert all(torch.equal(value, other[name]) for name, value in own.items()) == same
    if all(alike):
        assert figures('plain') == figures('late')


GROUP_NORM = [
    *[f'--model.segmentor.{part}.norm_cfg={{type: GN, num_groups: 2}}' for part in ('decode_head', 'auxiliary_head')],
    '--model.segmentor.backbone.norm_cfg={type: GN, num_groups: 2}',
]
SWA = [
    '--trainer.callbacks+=StochasticWeightAveraging', '--trainer.callbacks.swa_lrs=0.1',
    '--trainer.callbacks.swa_epoch_start=2', '--trainer.callbacks.annealing_epochs=1',
]  # fmt: skip


def test_without_batch_norm_the_last_checkpoint_contains_the_swa_average(tiny_config: Path, run: Run) -> None:
    """Lightning averages the weights at the start of each epoch from `swa_epoch_start` on."""
    flags = [*GROUP_NORM, *SWA, '--trainer.max_epochs=4', '--model.optimizer.lr=0.1', '--checkpoint.max_keep_ckpts=-1']
    done = run('fit', '--config', tiny_config, *flags, '--work-dir', 'swa')
    assert done.status == 0, done.err
    started = [weights(f'swa/epoch_{epoch}.ckpt') for epoch in (1, 2, 3)]
    for name, value in weights('swa/epoch_4.ckpt').items():
        if value.is_floating_point() and 'mean' not in name and 'std' not in name:
            expected = torch.stack([each[name] for each in started]).mean(0)
            torch.testing.assert_close(value, expected, msg=name)


def test_a_run_stopped_before_the_last_swa_epoch_resumes(tiny_config: Path, run: Run) -> None:
    """With BatchNorm the average has one epoch more than `max_epochs`."""
    flags = [*SWA, '--trainer.max_epochs=2']
    assert run('fit', '--config', tiny_config, *flags, '--work-dir', 'swa').status == 0
    (last,) = Path('swa').glob('epoch_3.ckpt')
    again = run('fit', '--config', tiny_config, *flags, '--resume-from', 'swa/epoch_2.ckpt', '--work-dir', 'again')
    assert again.status == 0, again.err
    own, other = weights(str(last)), weights('again/epoch_3.ckpt')
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    end = run('fit', '--config', tiny_config, *flags, '--resume-from', str(last), '--work-dir', 'end')
    assert end.status == 2
    assert 'is already at epoch 3 of 3' in end.err


@pytest.mark.parametrize('use_buffers', [False, True])
def test_the_average_is_torchs_but_is_read_only_once(use_buffers: bool) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4))
    average = AveragedModel(module, avg_fn=get_ema_avg_fn(0.9), use_buffers=use_buffers)
    expected = copy.deepcopy(average)
    callback = EMAWeightAveraging()
    callback._average_model = average
    trainer: Any = SimpleNamespace(callbacks=[callback])
    TrainedUntilAveraged().on_train_start(trainer, pl.LightningModule())
    counter = waits.Waits()
    counter.mark([*average.parameters(), *average.buffers(), *module.parameters(), *module.buffers()])
    for update in range(3):
        module(torch.randn(2, 3, 4, 4)).mean().backward()
        with torch.no_grad():
            for value in module.parameters():
                value.add_(1)
        expected.update_parameters(module)
        with counter:
            average.update_parameters(module)
        assert bool(counter.found) == (update == 0)
        counter.found = []
    for name, value in expected.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(average.state_dict()[name], value), name


@pytest.mark.parametrize('resumed', [False, True])
def test_integer_buffers_are_those_of_the_trained_model(resumed: bool) -> None:
    module: Any = torch.nn.Linear(1, 1)
    module.register_buffer('relative_position_index', torch.arange(1000))
    average = AveragedModel(module, avg_fn=get_ema_avg_fn(0.9999), use_buffers=True)
    if resumed:
        average.n_averaged.fill_(7)
    callback = EMAWeightAveraging()
    callback._average_model = average
    trainer: Any = SimpleNamespace(callbacks=[callback])
    TrainedUntilAveraged().on_train_start(trainer, pl.LightningModule())
    for _ in range(3):
        average.update_parameters(module)
    averaged: Any = average.module
    assert torch.equal(averaged.relative_position_index, torch.arange(1000))
