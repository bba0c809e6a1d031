"""What an mmseg model dict may hold: arguments that its classes take, weights for each class, ways of inference."""

from __future__ import annotations

import inspect
import math
import re
from pathlib import Path
from typing import Any

from mmcv.runner import BaseModule
from mmseg.models.builder import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.stdc_head import STDCHead
from mmseg.models.segmentors import BaseSegmentor
from pydantic import ValidationError
from torch import nn

from seglight.config.classes import type_adapter, type_hints
from seglight.config.settings import dicts, nearest
from seglight.counting import counted
from seglight.errors import ConfigError, UsageError, one_line
from seglight.models.inference.sliding import BLENDS
from seglight.models.losses import BALANCED

#: Keys of the model dict that hold heads, each one dict or a list of dicts.
HEAD_KEYS = ('decode_head', 'auxiliary_head')


#: Heads that make labels of their own from those of the data, and how many.
OWN_LABELS: dict[type[BaseDecodeHead], int] = {STDCHead: 2}  # boundary, and none


def own_labels(part: dict[str, Any]) -> int | None:
    """Return how many labels of its own the head of a dict predicts, None for one that predicts the data's classes."""
    cls = MODELS.get(str(part.get('type')))
    return next((count for base, count in OWN_LABELS.items() if inspect.isclass(cls) and issubclass(cls, base)), None)


def takes_argument(cls: Any, name: str) -> bool:
    """Tell whether a class is known to have the argument `name`."""
    return inspect.isclass(cls) and name in init_arguments(cls)[0]


def init_arguments(cls: type) -> tuple[set[str], bool]:
    """Return the arguments of a class, and whether these are all that it takes.

    mmseg's classes pass `**kwargs` on to their bases, so the bases are asked in turn, down to the
    first that takes no more.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        if base is BaseModule or base is nn.Module:
            break  # none of these takes part in describing a model, so the rest goes elsewhere
        if '__init__' in base.__dict__:
            parameters = inspect.signature(base.__dict__['__init__']).parameters
            names |= {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
            if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
                return names - {'self'}, True
    return names - {'self'}, False


def check_arguments(model: dict[str, Any]) -> None:
    """Refuse a key in the model dict that the class named by `type` beside it does not take.

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    for path, part in dicts(model, 'model.segmentor'):
        cls = MODELS.get(str(part.get('type')))
        if not inspect.isclass(cls):
            continue
        names, complete = init_arguments(cls)
        for name in part:
            if complete and name not in names | {'type'}:
                message = f"{part['type']} has no argument '{name}'{nearest(name, names)}"
                raise ConfigError(f'{path}.{name}', message)


def check_class_weights(model: dict[str, Any], num_classes: int) -> None:
    """Refuse a `class_weight` that has not a number for each class that its head predicts.

    Raises:
        ConfigError: names the key.
    """
    own = {path: part['num_classes'] for path, part in dicts(model, 'model.segmentor') if own_labels(part)}
    # Of two classes told apart by a threshold, mmseg weighs the second alone.
    own |= {path: 1 for path, part in dicts(model, 'model.segmentor') if part.get('out_channels') == 1}
    for path, part in dicts(model, 'model.segmentor'):
        expected = next((count for head, count in own.items() if path.startswith(f'{head}.')), num_classes)
        wrong = _wrong_weights(part.get('class_weight'), expected, num_classes)
        if wrong:
            raise ConfigError(f'{path}.class_weight', wrong)


def _wrong_weights(weights: Any, expected: int, num_classes: int) -> str:
    """Return what is wrong with weights for some number of classes, empty if nothing is."""
    if weights is None or (weights == BALANCED and expected == num_classes):
        return ''
    if weights == BALANCED:
        return "is 'balanced', a weight for each of the data's classes, but this head predicts others, or one channel"
    if isinstance(weights, str):
        hint = nearest(weights, [BALANCED])
        return '' if Path(weights).is_file() else f"must be '{BALANCED}' or a file, got '{weights}'{hint}"
    if not isinstance(weights, (list, tuple)) or not all(isinstance(each, (int, float)) for each in weights):
        return f"must be a list of numbers, '{BALANCED}' or null, got {weights!r}"
    if len(weights) != expected:
        given, wanted = counted(len(weights), 'weight'), counted(expected, 'class')
        return f'has {given} for {wanted}; give one for each, or null for none'
    if not all(0 <= each < math.inf for each in weights):
        return f'must be numbers of 0 or more, got {list(weights)}'
    return ''


def check_out_channels(model: dict[str, Any], num_classes: int) -> None:
    """Refuse a head that predicts another number of channels than there are classes.

    Raises:
        ConfigError: names the head.
    """
    for path, part in dicts({key: model.get(key) for key in HEAD_KEYS}, 'model.segmentor'):
        count = part.get('out_channels')
        one_for_two = count == 1 and num_classes == 2
        if count not in (None, num_classes) and not one_for_two and _predicts_classes(part):
            message = (
                f'is {count}, but data.classes names {num_classes} classes; leave it out, '
                'or give 1 for two classes told apart by a threshold'
            )
            raise ConfigError(f'{path}.out_channels', message)


def _predicts_classes(part: dict[str, Any]) -> bool:
    """Tell whether the `out_channels` of a head are the data's classes, as in mmseg's BaseDecodeHead."""
    cls = MODELS.get(str(part.get('type')))
    return inspect.isclass(cls) and issubclass(cls, BaseDecodeHead) and own_labels(part) is None


def check_in_index(segmentor: BaseSegmentor) -> None:
    """Refuse a head that takes a feature map beyond those that come to it, where their number is known.

    Raises:
        ConfigError: names the head.
    """
    neck = getattr(segmentor, 'neck', None)
    maps = getattr(neck, 'num_outs', None) if neck else getattr(segmentor.backbone, 'out_indices', None)
    count = len(maps) if isinstance(maps, (list, tuple)) else maps
    for path, head in segmentor.named_modules():
        taken = getattr(head, 'in_index', None)
        highest = max(taken, default=0) if isinstance(taken, (list, tuple)) else taken
        if isinstance(head, BaseDecodeHead) and isinstance(count, int) and (highest or 0) >= count:
            key = f'model.segmentor.{path}.in_index'
            source = type(neck or segmentor.backbone).__name__
            message = f'is {taken}, but {source} gives {count} feature maps, 0 to {count - 1}'
            raise ConfigError(key, message)


#: What mmseg's classes read in `train_cfg`, and in `test_cfg` together with this project's sliding windows.
TRAIN_CFG = ('num_points', 'oversample_ratio', 'importance_sample_ratio', 'sampler')  # mmseg's CGNet names the last
TEST_CFG = (
    *('mode', 'crop_size', 'stride', 'blend', 'window_batch'),
    *('subdivision_steps', 'subdivision_num_points', 'scale_factor'),
)


def check_train_cfg(train_cfg: dict[str, Any]) -> None:
    """Refuse a key that is much like one of mmseg's; others do nothing in mmseg either, and its configs have some.

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    _check_typos(train_cfg, TRAIN_CFG, 'model.segmentor.train_cfg')


def _check_typos(given: dict[str, Any], known: tuple[str, ...], key: str) -> None:
    for name in given:
        if name not in known and nearest(str(name), known):
            message = f'unknown key{nearest(str(name), known)}'
            raise ConfigError(f'{key}.{name}', message)


def check_test_cfg(test_cfg: dict[str, Any]) -> None:
    """Refuse a way of inference that mmseg does not have, or a sliding window without its sizes.

    Raises:
        ConfigError: names what is wrong or missing.
    """
    key = 'model.segmentor.test_cfg'
    _check_typos(test_cfg, TEST_CFG, key)
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ConfigError(f'{key}.mode', f"must be 'whole' or 'slide', got '{mode}'")
    for name in ('crop_size', 'stride') if mode == 'slide' else ():
        if name not in test_cfg:
            raise ConfigError(key, f'needs {name} in the mode slide, such as [512, 512]')
        size = test_cfg[name]
        pair = isinstance(size, (list, tuple)) and len(size) == 2
        if not pair or not all(isinstance(side, int) and side > 0 for side in size):
            message = f'must be a height and a width, such as [512, 512], got {size!r}'
            raise ConfigError(f'{key}.{name}', message)
    blend = test_cfg.get('blend', BLENDS[0])
    if blend not in BLENDS:
        raise ConfigError(f'{key}.blend', f"must be one of {', '.join(BLENDS)}, got '{blend}'")
    if not isinstance(test_cfg.get('window_batch', 1), int) or test_cfg.get('window_batch', 1) < 1:
        message = f'must be a number of windows, got {test_cfg["window_batch"]!r}'
        raise ConfigError(f'{key}.window_batch', message)


#: What pydantic calls a type.
_PLAIN = {'bool_type': 'true or false', 'int_type': 'a whole number', 'float_type': 'a number', 'tuple_type': 'a list'}


def check_types(cls: type, arguments: dict[str, Any], key: str) -> None:
    """Refuse an argument of another type than a class declares; lists are left to the class itself.

    Raises:
        ConfigError: names the argument.
    """
    for base in cls.__mro__:
        hints = type_hints(base.__dict__.get('__init__', object))
        for name in arguments.keys() & hints.keys():
            adapter = type_adapter(hints[name])
            if adapter is None or arguments[name] is None or isinstance(arguments[name], (list, tuple, dict)):
                continue
            try:
                adapter.validate_python(arguments[name], strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                wanted = _PLAIN.get(first['type']) or first['msg'].removeprefix('Input should be ')
                message = f'must be {wanted}, got {arguments[name]!r}'
                raise ConfigError(f'{key}.{name}', message) from error


#: What torch says of features that do not fit the layer they come to.
_MISFIT = re.compile(
    'Given groups=|size of tensor|Sizes of tensors|shapes cannot be multiplied|is invalid for input of size|'
    'Given input size|Given normalized_shape|Expected more than 1 value per channel'
)


def explain_first_batch(error: RuntimeError | ValueError, steps_done: int) -> ConfigError | None:
    """Return the error of the user's that ended a run in its first batch, None if it was none.

    Args:
        error: torch's.
        steps_done: optimizer steps before it; what happens later is no matter of how the model is built.
    """
    message = one_line(error)
    if steps_done or not _MISFIT.search(message):
        return None
    if 'more than 1 value per channel' in message:
        return UsageError(
            'BatchNorm cannot train on one value per channel, which a pooled batch of one image has; '
            'give data.batch_size of 2 or more'
        )
    return UsageError(
        f'model.segmentor cannot take these images: {message[:200]}; the channels or sizes of two parts differ '
        '(--debug shows where)'
    )
