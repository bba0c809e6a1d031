"""The learning rate, compared with what mmcv's Runner sets at every step."""

import logging
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.runner import EpochBasedRunner, IterBasedRunner, epoch_based_runner
from torch import nn
from torch.utils.data import DataLoader

from seglight.errors import ConfigError
from seglight.models.schedules import MmcvSchedule, find_updater

BASE_RATES = [0.01, 0.3]

warmups = st.fixed_dictionaries(
    {},
    optional={
        'warmup': st.sampled_from(['linear', 'constant', 'exp']),
        'warmup_by_epoch': st.booleans(),
        'by_epoch': st.booleans(),
    },
).flatmap(
    lambda chosen: st.builds(
        lambda iters, ratio: {**chosen, 'warmup_iters': iters, 'warmup_ratio': ratio} if 'warmup' in chosen else chosen,
        st.integers(1, 9),
        st.floats(0.001, 1.0),
    )
)
floors = st.one_of(
    st.builds(lambda value: {'min_lr': value}, st.floats(0, 0.01)),
    st.builds(lambda value: {'min_lr_ratio': value}, st.floats(0, 0.5)),
)
policies = st.one_of(
    st.builds(lambda power, low: {'policy': 'poly', 'power': power, 'min_lr': low}, st.floats(0.3, 3), st.floats(0, 0.01)),
    st.builds(lambda at, gamma: {'policy': 'step', 'step': sorted(at), 'gamma': gamma}, st.sets(st.integers(1, 25), min_size=1), st.floats(0.1, 1)),
    st.builds(lambda floor: {'policy': 'CosineAnnealing', **floor}, floors),
    st.builds(lambda floor, first: {'policy': 'CosineRestart', 'periods': [first, 99], 'restart_weights': [1, 0.5], **floor}, floors, st.integers(1, 20)),
    st.just({'policy': 'fixed'}),
    st.builds(lambda gamma: {'policy': 'exp', 'gamma': gamma}, st.floats(0.5, 1)),
)  # fmt: skip


class NoModel(nn.Module):
    """A model that mmcv's Runner can train; it does nothing."""

    def train_step(self) -> None:
        pass


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.SGD([{'params': [nn.Parameter(torch.zeros(1))], 'lr': lr} for lr in BASE_RATES], lr=0.1)


def rates_of_mmcv(
    lr_config: dict[str, Any], steps: int, epoch_steps: int, by_iterations: bool = False
) -> list[list[float]]:
    """The rates of mmcv's Runner at each step."""
    of_runner = {'max_iters': steps} if by_iterations else {'max_epochs': steps // epoch_steps}
    cls = IterBasedRunner if by_iterations else EpochBasedRunner
    logger = logging.getLogger('quiet')
    logger.setLevel(logging.ERROR)
    runner = cls(NoModel(), optimizer=optimizer(), logger=logger, work_dir='.', **of_runner)
    runner.register_lr_hook({**lr_config})
    rates: list[list[float]] = []

    def train_step(*_: object, **__: object) -> dict[str, Any]:
        rates.append([group['lr'] for group in runner.optimizer.param_groups])
        return {}

    runner.model.train_step = train_step
    numbers: Any = range(epoch_steps)
    loader: DataLoader[Any] = DataLoader(numbers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epoch_based_runner.time, 'sleep', lambda _: None)
        runner.run([loader], [('train', 1)])
    return rates


def our_rates(schedule: dict[str, Any], steps: int, epoch_steps: int) -> list[list[float]]:
    ours = optimizer()
    scheduler = MmcvSchedule(ours, find_updater(schedule), steps, epoch_steps)
    rates = []
    for _ in range(steps):
        rates.append([group['lr'] for group in ours.param_groups])
        ours.step()
        scheduler.step()
    return rates


@settings(max_examples=150, deadline=None)
@given(policies, warmups, st.integers(1, 4), st.integers(1, 6))
def test_every_step_of_every_policy_has_the_rate_of_mmcvs_runner(
    policy: dict[str, Any], warmup: dict[str, Any], epochs: int, epoch_steps: int
) -> None:
    steps = epochs * epoch_steps
    theirs = rates_of_mmcv({'by_epoch': False, **policy, **warmup}, steps, epoch_steps)
    assert len(theirs) == steps
    assert our_rates({**policy, **warmup}, steps, epoch_steps) == theirs


@pytest.mark.parametrize(
    'schedule',
    [
        {'policy': 'OneCycle', 'max_lr': 0.1},
        {'policy': 'one_cycle', 'max_lr': [0.1, 0.2], 'anneal_strategy': 'linear', 'three_phase': True},
        {'policy': 'poly', 'power': 0.9, 'min_lr': 1e-4, 'warmup': 'linear', 'warmup_iters': 7},
    ],
)
def test_runs_counted_in_iterations_have_the_rates_of_mmcvs_runner(schedule: dict[str, Any]) -> None:
    policy = {'one_cycle': 'OneCycle'}.get(schedule['policy'], schedule['policy'])
    theirs = rates_of_mmcv({**schedule, 'policy': policy, 'by_epoch': False}, 25, 4, by_iterations=True)
    assert len(theirs) == 25
    assert our_rates(schedule, 25, 4) == theirs


def test_cosine_by_hand() -> None:
    rates = our_rates({'policy': 'cosine', 'min_lr': 0.002}, 10, 10)
    assert rates[0] == BASE_RATES
    assert rates[5] == pytest.approx([0.006, 0.151])
    assert rates[9][0] == pytest.approx(0.002 + 0.004 * (1 + math.cos(0.9 * math.pi)))


def test_a_scheduler_resumes_where_it_was_saved() -> None:
    schedule = {
        'policy': 'CosineRestart',
        'periods': [6, 30],
        'restart_weights': [1, 0.5],
        'min_lr': 0,
        'warmup': 'exp',
        'warmup_iters': 5,
    }
    whole = our_rates(schedule, 20, 5)
    first, second = optimizer(), optimizer()
    scheduler = MmcvSchedule(first, find_updater(schedule), 20, 5)
    for _ in range(8):
        first.step()
        scheduler.step()
    again = MmcvSchedule(second, find_updater(schedule), 20, 5)
    second.load_state_dict(first.state_dict())
    again.load_state_dict(scheduler.state_dict())
    for step in range(8, 20):
        assert [group['lr'] for group in second.param_groups] == whole[step]
        second.step()
        again.step()


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        ({'policy': 'ploy'}, "unknown policy 'ploy'; did you mean 'poly'"),
        ({'policy': 'cosine_anealing'}, "did you mean 'cosineannealing'"),
        ({'powr': 2}, "the policy poly has no argument 'powr'; did you mean 'power'"),
        ({'policy': 'step', 'step': 3, 'power': 0.9}, "the policy step has no argument 'power'; _delete_: true"),
        ({'policy': 'step'}, "missing 1 required positional argument: 'step'"),
        ({'policy': 'step', 'step': [-1]}, 'the policy step: it needs all([s > 0 for s in step])'),
        ({'min_lr': 'low'}, "model.schedule.min_lr must be a number, got 'low'"),
        ({'policy': 'cosine', 'min_lr': 'low'}, "model.schedule.min_lr must be a number, got 'low'"),
        ({'by_epoch': 'yess'}, "model.schedule.by_epoch must be true or false, got 'yess'"),
        ({'warmup': 'linear', 'warmup_iters': 1.5}, 'model.schedule.warmup_iters must be a whole number, got 1.5'),
        ({'warmup': 'lin'}, '"lin" is not a supported type for warming up'),
    ],
)
def test_the_cause_is_named(schedule: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        find_updater(schedule)
    assert message in str(error.value)


def test_restarts_that_end_before_the_run_are_refused() -> None:
    schedule = {'policy': 'CosineRestart', 'periods': [3, 4], 'restart_weights': [1, 1], 'min_lr': 0}
    with pytest.raises(ConfigError, match='cannot run for 20 steps'):
        MmcvSchedule(optimizer(), find_updater(schedule), 20, 5)


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        ({'policy': 'step', 'step': [8], 'gamma': -0.1}, r'has the learning rate -0\.001 at step 9, must be 0 or more'),
        ({'policy': 'poly', 'power': 1.0, 'min_lr': -0.3}, 'has the learning rate -0.'),
        ({'policy': 'exp', 'gamma': float('nan')}, 'has the learning rate nan at step 2'),
        ({'policy': 'exp', 'gamma': 1e200}, 'cannot run for 20 steps: '),
        ({'policy': 'fixed', 'warmup': 'linear', 'warmup_iters': 4, 'warmup_ratio': -1e-3}, 'warmup_ratio'),
    ],
)
def test_rates_below_0_are_refused(schedule: dict[str, Any], message: str) -> None:
    """Torch and mmcv would go uphill without a word."""
    with pytest.raises(ConfigError, match=message):
        MmcvSchedule(optimizer(), find_updater(schedule), 20, 5)


def test_a_rate_of_0_is_reported() -> None:
    idle = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
    (doubt,) = MmcvSchedule(idle, find_updater({}), 20, 5).doubts()
    assert doubt == 'model.schedule: the learning rate of the optimizer is 0, so nothing is learned'


DOUBTS: dict[str, tuple[dict[str, Any], str | None]] = {
    'no warm-up': ({'warmup_iters': 5}, 'warmup_iters has no effect without warmup: linear, constant or exp'),
    'a long warm-up': ({'warmup': 'linear', 'warmup_iters': 20}, 'the warm-up of 20 steps does not end in a run of 20'),
    'a late step': (
        {'policy': 'step', 'step': [8, 16], 'by_epoch': True},
        'a step at 16 is beyond the run of 4 epochs',
    ),
    'a late interval': ({'policy': 'step', 'step': 20}, 'a step at 20 is beyond the run of 20 steps'),
    'a high end': ({'min_lr': 1.0}, 'min_lr 1 is above the learning rate 0.3'),
    'nothing': ({'warmup': 'linear', 'warmup_iters': 19, 'min_lr': 0.1}, None),
    'nothing of steps': ({'policy': 'step', 'step': [2, 3], 'by_epoch': True}, None),
}


@pytest.mark.parametrize('case', DOUBTS)
def test_likely_mistakes_are_reported(case: str) -> None:
    schedule, mistake = DOUBTS[case]
    doubts = MmcvSchedule(optimizer(), find_updater(schedule), 20, 5).doubts()
    assert doubts == ([f'model.schedule: {mistake}'] if mistake else [])


def test_a_shortened_run_is_not_checked_for_length() -> None:
    schedule = MmcvSchedule(optimizer(), find_updater({'warmup': 'linear', 'warmup_iters': 1500}), 2, 2)
    assert not schedule.doubts(whole=False)


def test_a_resumed_scheduler_has_the_rates_of_its_own_config() -> None:
    stored = MmcvSchedule(optimizer(), find_updater({'policy': 'fixed'}), 10, 5)
    for _ in range(8):
        stored.optimizer.step()
        stored.step()
    longer = optimizer()
    longer.param_groups[0]['lr'] = 0.02
    schedule = {
        'policy': 'poly',
        'power': 0.9,
        'min_lr': 1e-4,
        'warmup': 'linear',
        'warmup_iters': 10,
        'warmup_ratio': 0.1,
    }
    scheduler = MmcvSchedule(longer, find_updater(schedule), 20, 5)
    scheduler.load_state_dict(stored.state_dict())
    for step in range(8, 20):
        for base, group in zip((0.02, 0.3), longer.param_groups, strict=True):
            rate = (base - 1e-4) * (1 - step / 20) ** 0.9 + 1e-4
            warm = 1 - (1 - step / 10) * 0.9 if step < 10 else 1
            assert group['lr'] == pytest.approx(rate * warm)
        longer.step()
        scheduler.step()
