"""Learning-rate schedules: mmcv's updaters as one of torch's schedulers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

from mmcv.runner.hooks import HOOKS
from mmcv.runner.hooks.lr_updater import LrUpdaterHook, OneCycleLrUpdaterHook
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from seglight.errors import ConfigError, one_line
from seglight.models.explain import reason
from seglight.models.signatures import check_types, init_arguments
from seglight.similar import nearest

_SUFFIX = 'LrUpdaterHook'

#: Other libraries' names for mmcv's policies.
_ALIASES = {'constant': 'fixed', 'cosine': 'cosineannealing'}

_KEY = 'model.schedule'

CHECKED = 100  #: steps of a run whose rates are checked before it starts


class MmcvSchedule(LRScheduler):
    """The learning rate that mmcv's updater would set at every step, for Lightning to step after every step.

    Steps are optimizer steps; mmcv counts batches, which differs only with gradient accumulation.
    Values counted in epochs change at the first step of an epoch.

    Args:
        optimizer: its groups' rates are the base rates.
        updater: from `find_updater`.
        max_steps: optimizer steps of the run.
        epoch_steps: optimizer steps of an epoch.

    Raises:
        ConfigError: if the updater has no rate for a step of the run, or one below 0, which would unlearn.
    """

    def __init__(self, optimizer: Optimizer, updater: LrUpdaterHook, max_steps: int, epoch_steps: int) -> None:
        self._updater = updater
        self._run = SimpleNamespace(
            optimizer=optimizer,
            max_iters=max_steps,
            max_epochs=-(-max_steps // epoch_steps),
            data_loader=range(epoch_steps),
        )
        try:
            updater.before_run(self._run)
            self._check_rates()
            super().__init__(optimizer)
        except (TypeError, ValueError, ArithmeticError, KeyError) as error:
            raise ConfigError(_KEY, f'cannot run for {max_steps} steps: {one_line(error)}') from error

    def _check_rates(self) -> None:
        """Refuse a rate below 0 or not finite, at the last step and at some of those before."""
        for step in [*range(0, self.max_steps, max(1, self.max_steps // CHECKED)), self.max_steps - 1]:
            # Rounding may give a tiny negative number in place of 0.
            wrong = next((rate for rate in self.rates(step) if not -1e-12 <= rate < math.inf), None)
            if wrong is not None:
                raise ConfigError(_KEY, f'has the learning rate {wrong:g} at step {step + 1}, must be 0 or more')

    def rates(self, step: int) -> list[float]:
        """Return the learning rate of each group at a step, from 0; the optimizer's rates stay unchanged."""
        run = self._run
        current = [group['lr'] for group in run.optimizer.param_groups]
        run.iter = min(step, run.max_iters - 1)  # updaters have no rate after the last step
        run.epoch = run.iter // len(run.data_loader)
        self._updater.before_train_epoch(run)
        self._updater.before_train_iter(run)
        result = [group['lr'] for group in run.optimizer.param_groups]
        for group, rate in zip(run.optimizer.param_groups, current, strict=True):
            group['lr'] = rate
        return result

    @property
    def max_steps(self) -> int:
        """Optimizer steps of the run."""
        return int(self._run.max_iters)

    def doubts(self, whole: bool = True) -> list[str]:
        """Return the likely mistakes in the schedule, one sentence each.

        Args:
            whole: whether the run has its full length; for a shortened run, the checks of length are skipped.
        """
        updater: Any = self._updater
        length, unit = (self._run.max_epochs, 'epochs') if updater.by_epoch else (self.max_steps, 'steps')
        decays = getattr(updater, 'step', 0)
        last = max(decays, default=0) if isinstance(decays, list) else decays
        highest = max(updater.base_lr, default=0)
        min_lr = getattr(updater, 'min_lr', None) or 0
        mistakes = []
        if updater.warmup is None and updater.warmup_iters:
            mistakes.append('warmup_iters has no effect without warmup: linear, constant or exp')
        if whole and updater.warmup and updater.warmup_iters >= self.max_steps:
            mistakes.append(f'the warm-up of {updater.warmup_iters} steps does not end in a run of {self.max_steps}')
        if whole and last >= length:
            mistakes.append(f'a step at {last} is beyond the run of {length} {unit}')
        if not highest and not isinstance(updater, OneCycleLrUpdaterHook):
            mistakes.append('the learning rate of the optimizer is 0, so nothing is learned')
        if min_lr > highest:
            mistakes.append(f'min_lr {min_lr:g} is above the learning rate {highest:g}')
        return [f'model.schedule: {mistake}' for mistake in mistakes]

    def get_lr(self) -> list[float | Any]:
        """Return the learning rate of each group at the current step."""
        return self.rates(self.last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return only the step: everything else follows from the config."""
        return {'last_epoch': self.last_epoch, '_step_count': self._step_count, '_last_lr': self._last_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the step; its rate comes from this schedule, which may differ from the stored one."""
        super().load_state_dict(state_dict)
        self.move_to(self.last_epoch)

    def move_to(self, step: int) -> None:
        """Go to a step, from 0, and set its rates."""
        self.last_epoch = step
        rates = self.rates(step)
        self._last_lr = [*rates]
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group['lr'] = rate


def heeds_rate(schedule: dict[str, Any]) -> bool:
    """Return whether the rates of a schedule depend on the optimizer's; those of the policy OneCycle do not."""
    return not isinstance(find_updater(schedule), OneCycleLrUpdaterHook)


def find_updater(schedule: dict[str, Any]) -> LrUpdaterHook:
    """Return mmcv's updater for a schedule.

    Args:
        schedule: mmcv's `lr_config`: `policy` (poly by default) and the arguments of mmcv's updater of
            that name. Unlike in mmcv, `by_epoch` defaults to false, as all of mmseg's configs set it.

    Raises:
        ConfigError: for a wrong value, or an unknown policy or argument; names the nearest valid one.
    """
    arguments = {'by_epoch': False, **schedule}
    policy = str(arguments.pop('policy', 'poly'))
    cls = policies().get(_standard(policy))
    if cls is None:
        names = [*policies(), *_ALIASES]
        hint = nearest(_standard(policy), names)
        raise ConfigError(f'{_KEY}.policy', f"unknown policy '{policy}'{hint} (mmcv has {', '.join(policies())})")
    valid, _ = init_arguments(cls)
    for name in arguments:
        if name not in valid:
            hint = nearest(name, valid) or '; _delete_: true next to policy drops the settings of a base config'
            raise ConfigError(f'{_KEY}.{name}', f"the policy {policy} has no argument '{name}'{hint}")
    check_types(cls, arguments, _KEY)
    if 'min_lr' in valid and 'min_lr_ratio' in valid and not {'min_lr', 'min_lr_ratio'} & set(arguments):
        arguments['min_lr'] = 0.0
    try:
        updater: LrUpdaterHook = cls(**arguments)
    except (TypeError, ValueError, ArithmeticError, AssertionError) as error:
        raise ConfigError(_KEY, f'the policy {policy}: {reason(error)}') from error
    return updater


def policies() -> dict[str, type[LrUpdaterHook]]:
    """Return mmcv's updaters under the names of their policies, in lower case."""
    hooks = HOOKS.module_dict.items()
    found = {name.removesuffix(_SUFFIX).lower(): cls for name, cls in hooks if name.endswith(_SUFFIX)}
    return {name: cls for name, cls in found.items() if name}


def _standard(policy: str) -> str:
    """Return the normalised name of a policy: `cosine_restart` and `CosineRestart` are the same."""
    name = policy.replace('_', '').replace('-', '').lower()
    return _ALIASES.get(name, name)
