"""Convert batches, which mmcv's configs count, to optimizer steps, which Lightning and seglight's schedule count."""

from __future__ import annotations

from typing import Any

from seglight.config.arguments import Arguments, as_word
from seglight.config.settings import Settings
from seglight.plain_text import load_yaml

#: Keys of mmcv's `lr_config` that count batches, each with the key that makes it count epochs instead.
_COUNTS = {'warmup_iters': 'warmup_by_epoch', 'step': 'by_epoch', 'periods': 'by_epoch', 'total_steps': 'by_epoch'}

_ACCUMULATED = 'accumulate_grad_batches'
_BY_EPOCH = 'check_val_every_n_epoch'


def steps(batches: Any, accumulated: int) -> Any:
    """Convert a number of batches, or each in a list, to optimizer steps, rounded up."""
    if isinstance(batches, (list, tuple)):
        return [steps(each, accumulated) for each in batches]
    counts = isinstance(batches, int) and batches > 0
    return -(-batches // accumulated) if counts else batches


def schedule_in_steps(schedule: dict[str, Any], accumulated: int) -> dict[str, Any]:
    """Convert mmcv's `lr_config` from batches to optimizer steps, so that each batch keeps its learning rate.

    Args:
        schedule: counts batches, or epochs if its keys say so.
        accumulated: batches per optimizer step.
    """
    result = {
        name: steps(value, accumulated) if name in _COUNTS and not schedule.get(_COUNTS[name]) else value
        for name, value in schedule.items()
    }
    decay = str(schedule.get('policy')).lower()  # in these two policies, `gamma` applies to each batch
    if isinstance(schedule.get('gamma'), (int, float)) and not schedule.get('by_epoch') and decay in ('exp', 'inv'):
        result['gamma'] = schedule['gamma'] ** accumulated if decay == 'exp' else schedule['gamma'] * accumulated
    return result


def count_steps(arguments: Arguments, settings: Settings) -> None:
    """Convert mmseg keys in `--cfg-options` that count batches to optimizer steps, or to batches between validations.

    Args:
        arguments: modified in place.
        settings: the settings that the flags override.
    """
    model, trainer = (settings.values.get(name) or {} for name in ('model', 'trainer'))
    if isinstance(trainer, dict) and trainer.get(_BY_EPOCH, 1) is None:  # the config validates by batches
        old, new = f'--trainer.{_BY_EPOCH}', '--trainer.val_check_interval'
        arguments.flags = [
            flag._replace(name=new) if flag.mmseg and flag.name == old else flag for flag in arguments.flags
        ]
    typed = arguments.value(f'--trainer.{_ACCUMULATED}')
    accumulated = trainer.get(_ACCUMULATED) if isinstance(trainer, dict) else None
    if typed:
        accumulated = load_yaml(typed, f'--trainer.{_ACCUMULATED}={typed}')
    if not isinstance(accumulated, int) or accumulated < 2:
        return
    options = {flag.mmseg: load_yaml(flag.value or '', flag.typed) for flag in arguments.flags if flag.mmseg}
    inherited = model.get('schedule') if isinstance(model, dict) else None
    changed = {key.removeprefix('lr_config.'): value for key, value in options.items() if key.startswith('lr_config.')}
    schedule = schedule_in_steps({**(inherited if isinstance(inherited, dict) else {}), **changed}, accumulated)
    converted = {f'lr_config.{name}': schedule[name] for name in changed}
    checkpoint = settings.values.get('checkpoint')
    by_steps = isinstance(checkpoint, dict) and checkpoint.get('unit') == 'iter'
    for name in ('runner.max_iters', 'log_config.interval', *(['checkpoint_config.interval'] * by_steps)):
        if name in options:
            converted[name] = steps(options[name], accumulated)
    arguments.flags = [
        flag._replace(value=as_word(converted[flag.mmseg])) if flag.mmseg in converted else flag
        for flag in arguments.flags
    ]
