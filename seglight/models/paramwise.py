"""Checks of an optimizer's `paramwise_cfg`: mmcv ignores unknown keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from seglight.errors import ConfigError
from seglight.models.adapters.timm import TIMMBackbone
from seglight.similar import nearest

_KEY = 'model.optimizer.paramwise_cfg'

#: The keys of each constructor; other constructors are not checked.
KEYS = {
    'DefaultOptimizerConstructor': (
        'custom_keys',
        'bias_lr_mult',
        'bias_decay_mult',
        'norm_decay_mult',
        'dwconv_decay_mult',
        'dcn_offset_lr_mult',
        'bypass_duplicate',
    ),
    'LearningRateDecayOptimizerConstructor': ('num_layers', 'decay_rate', 'decay_type'),
    'LayerDecayOptimizerConstructor': ('num_layers', 'layer_decay_rate'),
}

#: The required keys.
REQUIRED = ('num_layers', 'decay_rate', 'layer_decay_rate')

#: The keys of each entry in `custom_keys`; mmseg's own DNLNet uses `wd_mult`, which mmcv ignores.
CUSTOM = ('lr_mult', 'decay_mult', 'wd_mult')


def check_paramwise(paramwise: Any, constructor: str, optimizer: dict[str, Any], segmentor: nn.Module) -> None:
    """Refuse keys unknown to the constructor, and factors that mmcv cannot apply.

    Args:
        paramwise: the `paramwise_cfg` or None.
        constructor: name of the optimizer's constructor.
        optimizer: the optimizer's own arguments.
        segmentor: the keys in `custom_keys` must be parts of its parameter names.

    Raises:
        ConfigError: names the key, and the nearest valid one.
    """
    _check_dict(paramwise if paramwise is not None else {}, _KEY)
    given: dict[str, Any] = paramwise or {}
    valid = KEYS.get(constructor)
    if valid is None:
        return
    _check_names(given, valid, _KEY)
    for name in valid:
        known = name == 'num_layers' and isinstance(segmentor.backbone, TIMMBackbone)  # timm knows its layers
        if name in REQUIRED and name not in given and not known:
            raise ConfigError(_KEY, f'{constructor} needs {name}')
    custom = given.get('custom_keys', {})
    _check_dict(custom, f'{_KEY}.custom_keys')
    for key, options in custom.items():
        place = f'{_KEY}.custom_keys.{key}'
        _check_dict(options, place)
        _check_names(options, CUSTOM, place)
        _check_reached(str(key), segmentor, place)
    _check_numbers(given, _KEY)
    for name in ('lr', 'weight_decay'):
        _check_base(given, name, optimizer)


def _check_dict(value: Any, key: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(key, f'must be a dict, got {value!r}')


def _check_names(given: dict[str, Any], valid: Iterable[str], key: str) -> None:
    for name in given:
        if name not in valid:
            hint = nearest(str(name), valid) or f'; valid keys are {", ".join(valid)}'
            raise ConfigError(f'{key}.{name}', f'unknown key{hint}')


def _check_numbers(given: dict[str, Any], key: str) -> None:
    """Refuse a factor that is not a number, including those in `custom_keys`."""
    for name, value in given.items():
        if isinstance(value, dict):
            _check_numbers(value, f'{key}.{name}')
        elif name != 'decay_type' and not isinstance(value, (int, float)):
            raise ConfigError(f'{key}.{name}', f'must be a number, got {value!r}')


def _check_reached(key: str, segmentor: nn.Module, place: str) -> None:
    """Refuse a custom key that matches no parameter name but resembles a part of one.

    Other unmatched keys may be for another model: mmseg's configs set `absolute_pos_embed` for a Swin without it.
    """
    names = [name for name, _ in segmentor.named_parameters()]
    if any(key in name for name in names):
        return
    modules = {name for name, _ in segmentor.named_modules()}
    parts = {part for name in names for part in name.split('.')}
    words = {word for part in parts for word in part.split('_')}
    known = sorted(modules | parts | words)
    swapped = [name for name in known if sorted(name) == sorted(key)]
    hint = nearest(key, swapped, cutoff=0) or nearest(key, known, cutoff=0.85)
    if hint:
        raise ConfigError(place, f"no parameter name contains '{key}'{hint}")


def _check_base(paramwise: dict[str, Any], name: str, optimizer: dict[str, Any]) -> None:
    """Refuse factors of a learning rate or weight decay that the config does not set."""
    if name in optimizer:
        return
    factor = {'lr': 'lr_mult', 'weight_decay': 'decay_mult'}[name]
    factors = [each for each in paramwise if each.endswith(factor)]
    for key, options in paramwise.get('custom_keys', {}).items():
        if name == 'lr' or factor in options:  # mmcv multiplies the rate by 1 where no factor is given
            factors.append(f'custom_keys.{key}')
    if factors:
        message = f'multiplies model.optimizer.{name}, which is not set'
        raise ConfigError(f'{_KEY}.{factors[0]}', message)
