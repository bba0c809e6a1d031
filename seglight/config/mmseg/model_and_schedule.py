"""The model and the schedule of an mmseg config as settings of this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seglight.config.mmseg.accumulation import schedule_in_steps, steps
from seglight.config.settings import dicts
from seglight.errors import ConfigError


def model_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict of an mmseg config as `model.segmentor`, with mean and std of the images.

    Raises:
        ConfigError: if it has no model.
    """
    if not isinstance(config.get('model'), dict):
        raise ConfigError('model.zoo', 'names a config without a model')
    model: dict[str, Any] = {'segmentor': {'_delete_': True, **config['model']}}
    for _, part in dicts([config.get('train_pipeline'), config.get('data')]):
        if part.get('type') == 'Normalize':
            order = slice(None) if part.get('to_rgb', True) else slice(None, None, -1)  # seglight's images are RGB
            model['mean'], model['std'] = part['mean'][order], part['std'][order]
    return {'model': model}


def counts_iterations(config: Mapping[str, Any]) -> bool:
    """Return whether a config's runner is mmcv's `IterBasedRunner`, whose hooks count iterations by default."""
    return bool(runner_of(config)['type'] == 'IterBasedRunner')


def runner_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the runner; older configs have `total_iters` or `total_epochs`."""
    old = {'max_iters': config.get('total_iters'), 'max_epochs': config.get('total_epochs')}
    given = config.get('runner') or {name: value for name, value in old.items() if value}
    return {'type': 'IterBasedRunner' if given.get('max_iters') else 'EpochBasedRunner', **given}


def schedule_settings(config: dict[str, Any]) -> dict[str, Any]:
    """Return optimizer, schedule, length and precision of an mmseg config as settings.

    Raises:
        ConfigError: if it has no optimizer.
    """
    if not isinstance(config.get('optimizer'), dict):
        raise ConfigError('model.zoo_schedule', 'names a config without an optimizer')
    length = runner_of(config)
    step = config.get('optimizer_config') or {}
    accumulated = step.get('cumulative_iters', 1)
    trainer = {
        'max_steps': steps(length.get('max_iters') or -1, accumulated),
        'max_epochs': length.get('max_epochs') or -1,
        'gradient_clip_val': (step.get('grad_clip') or {}).get('max_norm'),
        'accumulate_grad_batches': accumulated,
    }
    if 'fp16' in config or 'Fp16' in str(step.get('type')):
        trainer['precision'] = '16-mixed'
    schedule = config.get('lr_config') or {'policy': 'fixed'}
    if str(schedule.get('policy')).lower() not in ('cyclic', 'onecycle'):
        schedule = {'by_epoch': not counts_iterations(config), **schedule}  # as mmcv's runners; here it is false
    return {
        'model': {
            'optimizer': {'_delete_': True, **config['optimizer']},
            'schedule': {'_delete_': True, **schedule_in_steps(schedule, accumulated)},
        },
        'trainer': trainer,
    }
