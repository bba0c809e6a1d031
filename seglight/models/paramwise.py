"""What an optimizer's `paramwise_cfg` may say: mmcv passes over whatever it does not know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from seglight.config.settings import nearest
from seglight.errors import ConfigError

_KEY = 'model.optimizer.paramwise_cfg'

#: The keys of each constructor; those of a constructor that is not here are its own affair.
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

#: Those that a constructor cannot do without.
NEEDED = ('num_layers', 'decay_rate', 'layer_decay_rate')

#: The keys in each of `custom_keys`; mmseg's own DNLNet says `wd_mult`, which does nothing in mmcv.
CUSTOM = ('lr_mult', 'decay_mult', 'wd_mult')


def check_paramwise(paramwise: Any, constructor: str, optimizer: dict[str, Any], segmentor: nn.Module) -> None:
    """Refuse keys that the constructor does not know, and what mmcv cannot multiply.

    Args:
        paramwise: the `paramwise_cfg`, None for none.
        constructor: name of the optimizer's constructor.
        optimizer: the optimizer's own arguments.
        segmentor: whose parameters the keys in `custom_keys` are parts of the names of.

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
        if name in NEEDED and name not in given:
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
            hint = nearest(str(name), valid) or f'; there are {", ".join(valid)}'
            raise ConfigError(f'{key}.{name}', f'unknown key{hint}')


def _check_numbers(given: dict[str, Any], key: str) -> None:
    """Refuse a factor that is no number, also one in `custom_keys`."""
    for name, value in given.items():
        if isinstance(value, dict):
            _check_numbers(value, f'{key}.{name}')
        elif name != 'decay_type' and not isinstance(value, (int, float)):
            raise ConfigError(f'{key}.{name}', f'must be a number, got {value!r}')


def _check_reached(key: str, segmentor: nn.Module, place: str) -> None:
    """Refuse a custom key that is in no parameter's name but has the letters of a part of one, or nearly.

    Others may be meant for another model: mmseg's configs name `absolute_pos_embed` for a Swin that has none.
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
        raise ConfigError(place, f"no parameter's name has '{key}' in it{hint}")


def _check_base(paramwise: dict[str, Any], name: str, optimizer: dict[str, Any]) -> None:
    """Refuse factors of a learning rate or a weight decay that the config leaves to the optimizer's default."""
    if name in optimizer:
        return
    factor = {'lr': 'lr_mult', 'weight_decay': 'decay_mult'}[name]
    factors = [each for each in paramwise if each.endswith(factor)]
    for key, options in paramwise.get('custom_keys', {}).items():
        if name == 'lr' or factor in options:  # mmcv multiplies the rate by 1 where no factor is given
            factors.append(f'custom_keys.{key}')
    if factors:
        message = f'multiplies model.optimizer.{name}, which is not given'
        raise ConfigError(f'{_KEY}.{factors[0]}', message)
