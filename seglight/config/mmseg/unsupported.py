"""Reject what changes the training in an mmseg config and that seglight does not have, with the key and the cure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seglight.errors import ConfigError

#: Keys of mmseg 1.x and mmengine, which have another layout.
_NEWER = ('optim_wrapper', 'param_scheduler', 'train_cfg.type', 'default_hooks', 'train_dataloader', 'default_scope')

_RUNNERS = ('IterBasedRunner', 'EpochBasedRunner')

_OPTIMIZER_HOOKS = (
    *('OptimizerHook', 'Fp16OptimizerHook', 'DistOptimizerHook', 'GradientCumulativeOptimizerHook'),
    'GradientCumulativeFp16OptimizerHook',
)


def check_supported(config: Mapping[str, Any]) -> None:
    """Reject the first key that seglight cannot follow.

    Raises:
        ConfigError: with the key of mmseg's config, and what to do.
    """
    for key, text in _faults(config):
        raise ConfigError(key, text)


def _faults(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    newer = next((key for key in _NEWER if value_of(config, key) is not None), None)
    if newer:
        yield (
            newer,
            'is a key of mmseg 1.x; only configs of 0.x are read: write model, data and optimizer as in 0.30',
        )
    for key in ('model', 'optimizer', 'data'):
        if not isinstance(config.get(key), dict):
            yield key, f'must be a dict, got {config.get(key)!r:.60}; a whole config has model, optimizer and data'
    if not isinstance(config['optimizer'].get('type'), str):
        yield 'optimizer', 'must be one optimizer with a type, got a dict of several; keep one'
    if config['data'].get('train') is None:
        yield 'data.train', 'must be a data set, got none'
    for key in ('runner', 'lr_config', 'optimizer_config', 'evaluation', 'checkpoint_config', 'log_config', 'fp16'):
        if not isinstance(config.get(key, {}), (dict, type(None))):
            yield key, f'must be a dict, got {config[key]!r:.60}'
    yield from _loop(config)
    if config.get('custom_hooks'):
        yield (
            'custom_hooks',
            'names hooks of mmcv, which do not run here; remove it, and add Lightning callbacks to trainer.callbacks '
            'in a YAML file that names this file in _base_',
        )
    if config.get('momentum_config'):
        yield 'momentum_config', 'is not supported; remove it, or use the policy OneCycle'


def _loop(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the faults in the length of the run and in its steps."""
    runner, step = config.get('runner') or {}, config.get('optimizer_config') or {}
    if runner.get('type', _RUNNERS[0]) not in _RUNNERS:
        yield 'runner.type', f"must be {' or '.join(_RUNNERS)}, got '{runner['type']}'"
    lengths = (
        value_of(config, key) for key in ('runner.max_iters', 'runner.max_epochs', 'total_iters', 'total_epochs')
    )
    if not any(lengths):
        yield 'runner', 'must have max_iters or max_epochs; a config of older versions may have total_iters'
    if step.get('type', _OPTIMIZER_HOOKS[0]) not in _OPTIMIZER_HOOKS:
        yield 'optimizer_config.type', f"must be {' or '.join(_OPTIMIZER_HOOKS[:2])}, got '{step['type']}'; remove it"
    clip = step.get('grad_clip') or {}
    if clip.get('norm_type', 2) != 2:
        yield 'optimizer_config.grad_clip.norm_type', f'must be 2, got {clip["norm_type"]!r}'


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key, None without one."""
    value: Any = config
    for name in key.split('.'):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
