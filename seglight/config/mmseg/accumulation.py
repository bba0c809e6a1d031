"""Batches as optimizer steps: mmcv's configs count the former, Lightning and the schedule here the latter."""

from __future__ import annotations

from typing import Any

from seglight.config.arguments import Arguments, as_word
from seglight.config.settings import Settings
from seglight.plain_text import load_yaml

#: Keys of mmcv's `lr_config` that count batches, each with the key that makes it count epochs.
_COUNTS = {'warmup_iters': 'warmup_by_epoch', 'step': 'by_epoch', 'periods': 'by_epoch', 'total_steps': 'by_epoch'}

_ACCUMULATED = 'accumulate_grad_batches'


def steps(batches: Any, accumulated: int) -> Any:
    """Return the optimizer steps of so many batches, rounded up; of a list, of each of its items."""
    if isinstance(batches, (list, tuple)):
        return [steps(each, accumulated) for each in batches]
    counts = isinstance(batches, int) and batches > 0
    return -(-batches // accumulated) if counts else batches


def schedule_in_steps(schedule: dict[str, Any], accumulated: int) -> dict[str, Any]:
    """Return mmcv's `lr_config` with optimizer steps for batches, so that each batch has the same rate.

    Args:
        schedule: counts batches unless its keys say epochs.
        accumulated: batches of an optimizer step.
    """
    found = {
        name: steps(value, accumulated) if name in _COUNTS and not schedule.get(_COUNTS[name]) else value
        for name, value in schedule.items()
    }
    decay = str(schedule.get('policy')).lower()  # of these two, `gamma` is what a single batch does
    if isinstance(schedule.get('gamma'), (int, float)) and not schedule.get('by_epoch') and decay in ('exp', 'inv'):
        found['gamma'] = schedule['gamma'] ** accumulated if decay == 'exp' else schedule['gamma'] * accumulated
    return found


def count_steps(arguments: Arguments, settings: Settings) -> None:
    """Divide what keys of mmseg in `--cfg-options` say in batches by how many a step accumulates.

    Args:
        arguments: changed in place.
        settings: what the flags will be laid upon.
    """
    model, trainer = (settings.values.get(name) or {} for name in ('model', 'trainer'))
    typed = arguments.value(f'--trainer.{_ACCUMULATED}')
    accumulated = trainer.get(_ACCUMULATED) if isinstance(trainer, dict) else None
    if typed:
        accumulated = load_yaml(typed, f'--trainer.{_ACCUMULATED}={typed}')
    if not isinstance(accumulated, int) or accumulated < 2:
        return
    said = {flag.mmseg: load_yaml(flag.value or '', flag.typed) for flag in arguments.flags if flag.mmseg}
    below = model.get('schedule') if isinstance(model, dict) else None
    changed = {key.removeprefix('lr_config.'): value for key, value in said.items() if key.startswith('lr_config.')}
    schedule = schedule_in_steps({**(below if isinstance(below, dict) else {}), **changed}, accumulated)
    counted = {f'lr_config.{name}': schedule[name] for name in changed}
    if 'runner.max_iters' in said:
        counted['runner.max_iters'] = steps(said['runner.max_iters'], accumulated)
    arguments.flags = [
        flag._replace(value=as_word(counted[flag.mmseg])) if flag.mmseg in counted else flag for flag in arguments.flags
    ]
