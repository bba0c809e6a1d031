"""Learning-rate schedules that need to know how long the run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


@dataclass
class PolySchedule:
    """mmseg's `lr_config` with `policy='poly', by_epoch=False`, stepped after every optimizer step.

    Equal to `mmcv.runner.hooks.lr_updater.PolyLrUpdaterHook` at every step.

    Attributes:
        power: exponent of the decay; 0.9 in DeepLab (arXiv:1606.00915) and mmseg's schedules.
        min_lr: learning rate at the end.
        warmup: how the rate rises during the first `warmup_iters` steps, None for no warm-up.
        warmup_iters: number of steps of the warm-up.
        warmup_ratio: share of the scheduled rate at the first step.
    """

    power: float = 0.9
    min_lr: float = 0.0
    warmup: Literal['linear', 'constant', 'exp'] | None = None
    warmup_iters: int = 0
    warmup_ratio: float = 0.1

    def lr(self, base_lr: float, step: int, max_steps: int) -> float:
        """Return the learning rate of optimizer step `step` (from 0) of `max_steps`."""
        share = max(0.0, 1 - step / max_steps)
        regular = (base_lr - self.min_lr) * float(share**self.power) + self.min_lr
        if self.warmup is None or step >= self.warmup_iters:
            return regular
        left = 1 - step / self.warmup_iters
        if self.warmup == 'linear':
            return regular * (1 - left * (1 - self.warmup_ratio))
        return regular * float(self.warmup_ratio**left if self.warmup == 'exp' else self.warmup_ratio)

    def build(self, optimizer: Optimizer, max_steps: int) -> LambdaLR:
        """Return the torch scheduler of a run of `max_steps` optimizer steps."""

        def factor(base_lr: float) -> Callable[[int], float]:
            return lambda step: self.lr(base_lr, step, max_steps) / base_lr if base_lr else 0.0

        return LambdaLR(optimizer, [factor(group['lr']) for group in optimizer.param_groups])
