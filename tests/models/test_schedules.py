"""The learning rate, compared with mmcv's updater at every step."""

from types import SimpleNamespace

import pytest
import torch
from mmcv.runner.hooks.lr_updater import PolyLrUpdaterHook

from seglight.models.schedules import PolySchedule

CASES = [
    {},
    {'power': 0.5, 'min_lr': 1e-4},
    {'power': 1.0, 'warmup': 'linear', 'warmup_iters': 7, 'warmup_ratio': 0.02},
    {'min_lr': 1e-3, 'warmup': 'constant', 'warmup_iters': 5, 'warmup_ratio': 0.3},
    {'warmup': 'exp', 'warmup_iters': 9, 'warmup_ratio': 0.01},
]


def rates_of_mmcv(options: dict, groups: list[float], steps: int) -> list[list[float]]:
    warmup = options.get('warmup')
    extra = {} if warmup is None else {'warmup': warmup, 'warmup_iters': options['warmup_iters']}
    hook = PolyLrUpdaterHook(
        power=options.get('power', 0.9),
        min_lr=options.get('min_lr', 0.0),
        by_epoch=False,
        warmup_ratio=options.get('warmup_ratio', 0.1),
        **extra,
    )
    parameters = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in groups]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    runner = SimpleNamespace(optimizer=optimizer, iter=0, max_iters=steps, epoch=0)
    hook.before_run(runner)
    rates = []
    for step in range(steps):
        runner.iter = step
        hook.before_train_iter(runner)
        rates.append([group['lr'] for group in optimizer.param_groups])
    return rates


@pytest.mark.parametrize('options', CASES)
def test_every_step_has_mmcvs_learning_rate(options: dict) -> None:
    groups, steps = [0.01, 0.1], 25
    parameters = [{'params': [torch.nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in groups]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    scheduler = PolySchedule(**options).build(optimizer, steps)
    expected = rates_of_mmcv(options, groups, steps)
    for step in range(steps):
        assert [group['lr'] for group in optimizer.param_groups] == pytest.approx(expected[step], rel=1e-9), step
        optimizer.step()
        scheduler.step()
