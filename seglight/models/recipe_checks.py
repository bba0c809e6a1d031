"""The rules for a recipe: small functions over one part each, which raise a `ConfigError` with its key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import BaseSegmentor

from seglight.counting import counted
from seglight.errors import ConfigError
from seglight.models.inference.sliding import BLENDS
from seglight.models.losses import BALANCED
from seglight.models.parts import HEAD_KEYS, KEY, PACKAGES, Part
from seglight.models.signatures import init_arguments
from seglight.similar import nearest

#: The keys that mmseg's classes read in `train_cfg`, and with seglight's sliding windows in `test_cfg`.
TRAIN_CFG = ('num_points', 'oversample_ratio', 'importance_sample_ratio', 'sampler')  # the last is in mmseg's CGNet
TEST_CFG = (
    *('mode', 'crop_size', 'stride', 'blend', 'window_batch'),
    *('subdivision_steps', 'subdivision_num_points', 'scale_factor'),
)


def check(parts: Sequence[Part], num_classes: int) -> None:
    """Refuse parts that break a rule, including the rules that depend on the number of classes.

    Raises:
        ConfigError: names the key.
    """
    for part in parts:
        check_part(part)
    for part in parts:
        _check_class_weight(part, num_classes)
        _check_out_channels(part, num_classes)


def check_part(part: Part) -> None:
    """Refuse a part that breaks a rule that does not depend on the data.

    Raises:
        ConfigError: names the key.
    """
    for rule in (check_class_path, _check_arguments, _check_kinds, _check_train_cfg, _check_test_cfg):
        rule(part)


def check_class_path(part: Part) -> None:
    """Refuse a class path of a registered class, and where mmcv builds a layer, which has to be registered.

    Raises:
        ConfigError: names the key.
    """
    if not part.has_class_path or part.role == 'loss':
        return
    package, _, name = part.type_name.partition('.')
    if package in PACKAGES:
        raise ConfigError(f'{part.key}.type', f"must be '{name.rpartition('.')[2]}', got '{part.type_name}'")
    if 'loss_decode' in part.path or any(name.endswith('cfg') for name in part.path):
        message = f"must be a name that mmcv knows, got '{part.type_name}'; class paths are for whole parts and losses"
        raise ConfigError(f'{part.key}.type', message)


def _check_arguments(part: Part) -> None:
    """Refuse a key that the class named by `type` does not accept; name the nearest valid one."""
    cls = part.cls
    if cls is None:
        return
    names, complete = init_arguments(cls)
    for name in part.values if complete else ():
        if name not in names | {'type'}:
            raise ConfigError(f'{part.key}.{name}', f"{part.type_name} has no argument '{name}'{nearest(name, names)}")


def _check_kinds(part: Part) -> None:
    """Refuse another value than a mapping for the settings of a model that mmseg takes unchecked."""
    for name in ('train_cfg', 'test_cfg') if not part.path else ():
        if not isinstance(value := part.values.get(name), (Mapping, NoneType)):
            raise ConfigError(f'{part.key}.{name}', f'must be a mapping or null, got {value!r:.40}')


def _check_train_cfg(part: Part) -> None:
    """Refuse a key that resembles one of mmseg's; mmseg ignores other unknown keys, and its configs have some."""
    if part.path == ('train_cfg',):
        _check_typos(part, TRAIN_CFG)


def _check_test_cfg(part: Part) -> None:
    """Refuse an unknown mode of inference, or sliding windows without sizes."""
    if part.path != ('test_cfg',):
        return
    _check_typos(part, TEST_CFG)
    given = {'mode': 'whole', 'blend': BLENDS[0], 'window_batch': 1, **part.values}
    mode, blend, batch = given['mode'], given['blend'], given['window_batch']
    if mode not in ('whole', 'slide'):
        raise ConfigError(f'{part.key}.mode', f"must be 'whole' or 'slide', got '{mode}'")
    for name in ('crop_size', 'stride') if mode == 'slide' else ():
        _check_window(part, name)
    if mode == 'slide' and any(step > side for step, side in zip(given['stride'], given['crop_size'], strict=True)):
        message = f'must not exceed crop_size, or pixels between the windows have no prediction, got {given["stride"]}'
        raise ConfigError(f'{part.key}.stride', message)
    if blend not in BLENDS:
        raise ConfigError(f'{part.key}.blend', f"must be one of {', '.join(BLENDS)}, got '{blend}'")
    if not isinstance(batch, int) or batch < 1:
        raise ConfigError(f'{part.key}.window_batch', f'must be a number of windows, got {batch!r}')


def _check_window(part: Part, name: str) -> None:
    """Refuse a size of sliding windows that is missing or is not a height and a width."""
    if name not in part.values:
        raise ConfigError(part.key, f"needs {name} in mode 'slide', such as [512, 512]")
    size = part.values[name]
    pair = isinstance(size, (list, tuple)) and len(size) == 2
    if not pair or not all(isinstance(side, int) and side > 0 for side in size):
        message = f'must be a height and a width, such as [512, 512], got {size!r}'
        raise ConfigError(f'{part.key}.{name}', message)


def _check_typos(part: Part, known: tuple[str, ...]) -> None:
    for name in map(str, part.values):
        if name not in known and nearest(name, known):
            raise ConfigError(f'{part.key}.{name}', f'unknown key{nearest(name, known)}')


def _check_class_weight(part: Part, num_classes: int) -> None:
    """Refuse a `class_weight` without one number for each class that its head predicts."""
    expected = next((count for count in map(_own_count, part.above()) if count is not None), num_classes)
    if wrong := _wrong_weights(part.values.get('class_weight'), expected, num_classes):
        raise ConfigError(f'{part.key}.class_weight', wrong)


def _own_count(head: Part) -> int | None:
    """Return the number of weights that a head's losses take, None for one per class of the data."""
    own = head.own_labels
    if own is not None:
        return int(head.values.get('num_classes', own))
    # With two classes separated by a threshold, mmseg weights only the second.
    return 1 if head.values.get('out_channels') == 1 else None


def _wrong_weights(weights: Any, expected: int, num_classes: int) -> str:
    """Return what is wrong with the weights for a number of classes, empty if nothing."""
    if weights is None or (weights == BALANCED and expected == num_classes):
        return ''
    if weights == BALANCED:
        return "is 'balanced', one weight per class of the data, but this head predicts other classes or one channel"
    if isinstance(weights, str):
        hint = nearest(weights, [BALANCED])
        return '' if Path(weights).is_file() else f"must be '{BALANCED}' or a file, got '{weights}'{hint}"
    if not isinstance(weights, (list, tuple)) or not all(isinstance(each, (int, float)) for each in weights):
        return f"must be a list of numbers, '{BALANCED}' or null, got {weights!r}"
    if len(weights) != expected:
        given, needed = counted(len(weights), 'weight'), counted(expected, 'class')
        return f'has {given} for {needed}; give one for each, or null for none'
    if not all(0 <= each < math.inf for each in weights):
        return f'must be numbers of 0 or more, got {list(weights)}'
    return ''


def _check_out_channels(part: Part, num_classes: int) -> None:
    """Refuse a head whose number of channels differs from the number of classes."""
    count = part.values.get('out_channels')
    if count is None or part.path[:1] not in [(key,) for key in HEAD_KEYS] or not _predicts_classes(part):
        return
    if count != num_classes and not (count == 1 and num_classes == 2):
        message = (
            f'is {count}, but data.classes names {num_classes} classes; remove it, '
            'or set it to 1 for two classes separated by a threshold'
        )
        raise ConfigError(f'{part.key}.out_channels', message)


def _predicts_classes(part: Part) -> bool:
    """Return whether the `out_channels` of a head are the data's classes, as in mmseg's BaseDecodeHead."""
    return part.cls is not None and issubclass(part.cls, BaseDecodeHead) and part.own_labels is None


def check_in_index(segmentor: BaseSegmentor) -> None:
    """Refuse a head that selects a feature map which does not exist, where the number of maps is known.

    Raises:
        ConfigError: names the head.
    """
    neck, backbone = getattr(segmentor, 'neck', None), getattr(segmentor, 'backbone', None)
    maps = getattr(neck, 'num_outs', None) if neck else getattr(backbone, 'out_indices', None)
    count = len(maps) if isinstance(maps, (list, tuple)) else maps
    for path, head in segmentor.named_modules():
        selected = getattr(head, 'in_index', None)
        highest = max(selected, default=0) if isinstance(selected, (list, tuple)) else selected
        if isinstance(head, BaseDecodeHead) and isinstance(count, int) and (highest or 0) >= count:
            key = f'{KEY}.{path}.in_index'
            source = type(neck or backbone).__name__
            message = f'is {selected}, but {source} gives {count} feature maps, 0 to {count - 1}'
            raise ConfigError(key, message)
