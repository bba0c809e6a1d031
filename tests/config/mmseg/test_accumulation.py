"""mmcv counts batches, Lightning optimizer steps: where gradients are accumulated, runs see as many batches."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from conftest import Result
from mmcv import Config
from mmcv.runner.hooks.optimizer import GradientCumulativeOptimizerHook

from seglight.config.mmseg.accumulation import schedule_in_steps, steps
from seglight.config.mmseg.packaged import zoo_folder
from seglight.models.schedules import MmcvSchedule, find_updater

Run = Callable[..., Result]
BEIT = 'beit/upernet_beit-large_fp16_8x1_640x640_160k_ade20k'
SCHEDULES: list[dict[str, Any]] = [
    {'policy': 'poly', 'power': 0.9, 'warmup': 'linear', 'warmup_iters': 24, 'warmup_ratio': 1e-3},
    {'policy': 'step', 'step': [30, 60], 'gamma': 0.5},
    {'policy': 'step', 'step': 30},
    {'policy': 'CosineRestart', 'periods': [30, 90], 'restart_weights': [1, 0.5], 'min_lr': 0.0},
    {'policy': 'exp', 'gamma': 0.97},
    {'policy': 'inv', 'gamma': 0.1, 'power': 0.5},
    {'policy': 'step', 'step': [2, 5], 'by_epoch': True},
    {'policy': 'poly', 'warmup': 'linear', 'warmup_iters': 3, 'warmup_by_epoch': True},
]


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def mmcv_steps(batches: int, accumulated: int) -> int:
    """How often mmcv's hook steps the optimizer in a run."""
    weight = torch.nn.Parameter(torch.zeros(1))
    done: list[int] = []
    runner: Any = SimpleNamespace(
        max_iters=batches, _max_iters=batches, model=torch.nn.Identity(), logger=SimpleNamespace(warning=lambda _: None),
        optimizer=SimpleNamespace(step=lambda: done.append(1), zero_grad=lambda: None),
    )  # fmt: skip
    hook = GradientCumulativeOptimizerHook(accumulated)
    for runner.iter in range(batches):
        runner.outputs = {'loss': weight.sum()}
        hook.after_train_iter(runner)
    return len(done)


@pytest.mark.parametrize(('batches', 'accumulated'), [(12, 1), (12, 3), (13, 3), (2, 5)])
def test_a_run_takes_as_many_optimizer_steps_as_mmcvs_hook(batches: int, accumulated: int) -> None:
    assert steps(batches, accumulated) == mmcv_steps(batches, accumulated)


@pytest.mark.parametrize('schedule', SCHEDULES)
def test_each_step_has_the_rate_that_mmcv_sets_at_its_first_batch(schedule: dict[str, Any]) -> None:
    theirs = MmcvSchedule(optimizer(), find_updater(schedule), 120, 12)
    ours = MmcvSchedule(optimizer(), find_updater(schedule_in_steps(schedule, 3)), 40, 4)
    assert [ours.rates(step) for step in range(40)] == [pytest.approx(theirs.rates(3 * step)) for step in range(40)]


def test_a_schedule_of_the_zoo_that_accumulates_trains_on_as_many_batches(run: Run, tiny_config: str) -> None:
    theirs = Config.fromfile(str(zoo_folder() / f'{BEIT}.py'))
    result = run('fit', '--config', tiny_config, '--model.zoo_schedule', BEIT, '--print_config')
    assert result.status == 0, result.err
    config = yaml.safe_load(result.out)
    accumulated = theirs.optimizer_config.cumulative_iters
    assert config['trainer']['accumulate_grad_batches'] == accumulated == 2
    assert config['trainer']['max_steps'] * accumulated == theirs.runner.max_iters
    assert config['model']['schedule']['warmup_iters'] * accumulated == theirs.lr_config.warmup_iters


@pytest.mark.parametrize(
    'flags',
    [
        ['--cfg-options', 'optimizer_config.cumulative_iters=4', 'runner.max_iters=1000', 'lr_config.warmup_iters=200'],
        ['--cfg-options', 'runner.max_iters=1000', 'lr_config.warmup_iters=200', 'optimizer_config.cumulative_iters=4'],
        ['--trainer.accumulate_grad_batches=4', '--cfg-options', 'runner.max_iters=1000', 'lr_config.warmup_iters=200'],
        ['--cfg-options', 'optimizer_config.cumulative_iters=4', 'trainer.max_steps=250', 'model.schedule.warmup_iters=50'],
    ],
)  # fmt: skip
def test_keys_of_mmseg_count_batches_and_this_projects_own_count_steps(
    run: Run, tiny_config: str, flags: list[str]
) -> None:
    result = run('fit', '--config', tiny_config, *flags, '--print_config')
    assert result.status == 0, result.err
    config = yaml.safe_load(result.out)
    assert config['trainer']['accumulate_grad_batches'] == 4
    assert config['trainer']['max_steps'] == 250
    assert config['model']['schedule']['warmup_iters'] == 50


def test_without_accumulation_batches_are_steps(run: Run, tiny_config: str) -> None:
    flags = ['--cfg-options', 'runner.max_iters=1000', 'lr_config.warmup_iters=200']
    config = yaml.safe_load(run('fit', '--config', tiny_config, *flags, '--print_config').out)
    assert (config['trainer']['max_steps'], config['model']['schedule']['warmup_iters']) == (1000, 200)
