"""Check a model dict and an optimizer in a checkpoint before they are built."""

from __future__ import annotations

import re
from typing import Any

from seglight.checkpoints import allowed, cost
from seglight.checkpoints.plain_checks import MOST_LEVELS, MOST_NUMBER, Refused, check_number, check_value, shown
from seglight.config.settings import Key

#: Limit on values of a model dict; the largest in mmseg has 169, and 6 levels.
MOST_PARTS = 10_000

#: Lower limits on numbers that multiply the computation.
MOST_REPEATED = {
    'dilation': 512,
    'dilations': 512,
    'key_pool_scales': 256,
    'num_stages': 32,
    'pad': 512,
    'padding': 512,
    'pool_scales': 256,
    'recurrence': 16,
    'rescales': 16,
    'scale_factor': 16,
    'scales': 16,
    'subdivision_steps': 8,
    'up_scale': 64,
    'window_batch': 64,
}

#: A word, as opposed to a path or a URL.
_WORD = re.compile(r'[\w+\- ]{0,100}', re.ASCII)
_TIMM_NAME = re.compile(r'[\w.\-]{1,100}', re.ASCII)


def check_model(model: Any, key: Key) -> None:
    """Refuse a model dict with classes that are not registered, paths, URLs, or excessive numbers."""
    if not isinstance(model, dict):
        raise Refused(f'must be a dict, got {type(model).__name__}', key)
    _ModelCheck().check(model, key)


class _ModelCheck:
    """Walks a model dict and counts its values."""

    def __init__(self) -> None:
        self.count = 0

    def check(self, value: Any, key: Key) -> None:
        """Check a value and everything in it."""
        self.count += 1
        if self.count > MOST_PARTS or len(key) > MOST_LEVELS:
            raise Refused(f'the model has more than {MOST_PARTS} values or {MOST_LEVELS} levels', key[:2])
        name = _last_name(key)
        if isinstance(value, dict):
            self._check_part(value, key)
        elif isinstance(value, (list, tuple)):
            for index, inner in enumerate(value):
                self.check(inner, (*key, str(index)))
        elif isinstance(value, str):
            if not _WORD.fullmatch(value):
                raise Refused(f"must be a word, not a path or an address, got '{shown(value)}'", key)
            if name == 'class_weight' and value != 'balanced':
                raise Refused(f"must be numbers or balanced, not a file, got '{shown(value)}'", key)
        elif isinstance(value, (int, float)):
            check_number(value, key, MOST_REPEATED.get(name, MOST_NUMBER))
        elif value is not None:
            raise Refused(f'must be a number, word, list or dict, got {type(value).__name__}', key)

    def _check_part(self, part: dict[Any, Any], key: Key) -> None:
        """Check a dict, which may describe a class."""
        name = part.get('type')
        if 'type' in part:
            self._check_type(name, (*key, 'type'))
        for argument, inner in part.items():
            if not isinstance(argument, str) or not argument.isidentifier() or argument.startswith('_'):
                raise Refused(f"a checkpoint may not have the key '{shown(argument)}' here", key)
            if argument == 'class_path':
                self._check_class_path(inner, (*key, argument))
            elif argument in ('pretrained', 'checkpoint', 'checkpoint_path') and inner:
                raise Refused('a checkpoint may not name a file of weights', (*key, argument))
            elif argument == 'model_name':
                if not isinstance(inner, str) or not _TIMM_NAME.fullmatch(inner):
                    raise Refused(
                        f"must be the name of a model, not an address, got '{shown(inner)}'", (*key, argument)
                    )
            elif argument != 'type':
                self.check(inner, (*key, argument))
        if str(name).endswith('TIMMBackbone') and (wrong := sorted(set(part) - allowed.TIMM_ARGUMENTS)):
            raise Refused(f'a checkpoint may not give {name} the argument {wrong[0]}', key)
        if key[-1] == 'test_cfg' and (fault := cost.window_fault(part)):
            raise Refused(fault, key)

    def _check_type(self, name: Any, key: Key) -> None:
        is_loss = isinstance(name, str) and _last_name(key[:-1]) == 'loss_decode' and allowed.is_loss(name)
        if not isinstance(name, str) or not (allowed.is_model_part(name) or is_loss):
            raise Refused(f"a checkpoint may not name '{shown(name)}'", key)

    def _check_class_path(self, path: Any, key: Key) -> None:
        if not isinstance(path, str) or _last_name(key[:-1]) != 'loss_decode' or not allowed.is_loss(path):
            raise Refused(f"a checkpoint may not name '{shown(path)}'", key)


def _last_name(key: Key) -> str:
    """Return the last name in a key, which may end with indices of lists; `loss_decode` for a loss, not within one."""
    return next((name for name in reversed(key) if not name.isdigit()), '')


def check_optimizer(optimizer: Any, key: Key) -> None:
    """Refuse an optimizer that is not from torch."""
    if optimizer is None:
        return
    if not isinstance(optimizer, dict):
        raise Refused(f'must be a dict, got {type(optimizer).__name__}', key)
    for name in ('type', 'class_path'):
        value = optimizer.get(name)
        if value is not None and not (isinstance(value, str) and allowed.is_optimizer(value)):
            raise Refused(f"a checkpoint may not name '{shown(value)}'", key)
    check_value({name: value for name, value in optimizer.items() if name != 'class_path'}, key)
