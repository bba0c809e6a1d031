"""From an mmseg model dict to a segmentor with the right number of classes."""

from __future__ import annotations

import copy
import inspect
import logging
import re
from typing import Any

from mmcv import ConfigDict
from mmcv.runner import BaseModule
from mmseg.models import build_segmentor
from mmseg.models.builder import MODELS
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.segmentors import BaseSegmentor
from torch import nn

from seglight.config.settings import dicts, nearest
from seglight.errors import ConfigError, one_line
from seglight.models import losses

#: Keys of the model dict that hold heads, each one dict or a list of dicts.
HEAD_KEYS = ('decode_head', 'auxiliary_head')


def build(model: dict[str, Any], num_classes: int, ignore_index: int = 255) -> BaseSegmentor:
    """Build an mmseg segmentor and initialise its weights as the model dict says.

    Args:
        model: an mmseg model dict (`type`, `backbone`, `decode_head`, ...); it is not changed.
        num_classes: set in every head, whatever the dict says.
        ignore_index: label without a loss, set in every head and loss that knows of it.

    Returns:
        The segmentor with BatchNorm in place of SyncBN (see `wants_sync_bn`).

    Raises:
        ConfigError: if mmseg cannot build it; names the part and the nearest known type.
    """
    model = losses.without_balanced(losses.with_class_paths(model), num_classes)
    model = without_sync_bn(with_classes(model, num_classes, ignore_index))
    model['test_cfg'] = model.get('test_cfg') or {'mode': 'whole'}
    logging.getLogger('mmcv').setLevel(logging.WARNING)  # it reports the statistics of every parameter
    check_arguments(model)
    check_class_weights(model, num_classes)
    check_out_channels(model, num_classes)
    check_test_cfg(model['test_cfg'])
    try:
        segmentor: BaseSegmentor = build_segmentor(ConfigDict(model))
        segmentor.init_weights()
    except (KeyError, TypeError, ValueError, AssertionError, OSError) as error:
        raise _explain(error, model) from error
    return segmentor


def with_classes(model: dict[str, Any], num_classes: int, ignore_index: int = 255) -> dict[str, Any]:
    """Return the model dict with `num_classes` in every head, nested and cascaded ones too, and `ignore_index`.

    A head is recognised by its type, so that one that leaves `num_classes` to its default (150 in
    K-Net's) gets it as well. A head that is made of heads, as K-Net's, has no number of its own.
    """
    model = copy.deepcopy(model)
    for key in HEAD_KEYS:
        heads = [part for _, part in dicts(model.get(key)) if _is_head(part)]
        for head in heads:
            made_of_heads = any(inner in heads for _, inner in dicts(list(head.values())))
            if 'num_classes' in head or not made_of_heads:
                head['num_classes'] = num_classes
                for _, part in dicts(head):
                    if takes_argument(MODELS.get(str(part.get('type'))), 'ignore_index'):
                        part['ignore_index'] = ignore_index
    return model


def _is_head(part: dict[str, Any]) -> bool:
    """Tell whether a dict of the model describes a head that predicts classes."""
    return 'num_classes' in part or takes_argument(MODELS.get(str(part.get('type'))), 'num_classes')


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
                message = f"{path}: {part['type']} has no argument '{name}'{nearest(name, names)}"
                raise ConfigError(message, (*path.split('.'), name))


def check_class_weights(model: dict[str, Any], num_classes: int) -> None:
    """Refuse a `class_weight` that is a list of another length than the classes.

    Raises:
        ConfigError: names the key.
    """
    for path, part in dicts(model, 'model.segmentor'):
        weights = part.get('class_weight')
        if isinstance(weights, (list, tuple)) and len(weights) != num_classes:
            message = (
                f'{path}.class_weight has {len(weights)} weights for {num_classes} classes; '
                'give one for each, or null for none'
            )
            raise ConfigError(message, (*path.split('.'), 'class_weight'))


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
                f'{path}.out_channels is {count}, but data.classes names {num_classes} classes; leave it out, '
                'or give 1 for two classes told apart by a threshold'
            )
            raise ConfigError(message, (*path.split('.'), 'out_channels'))


def _predicts_classes(part: dict[str, Any]) -> bool:
    """Tell whether the `out_channels` of a head are those of its classes, as in mmseg's BaseDecodeHead."""
    cls = MODELS.get(str(part.get('type')))
    return inspect.isclass(cls) and issubclass(cls, BaseDecodeHead)


def check_test_cfg(test_cfg: dict[str, Any]) -> None:
    """Refuse a way of inference that mmseg does not have, or a sliding window without its sizes.

    Raises:
        ConfigError: names what is wrong or missing.
    """
    key = ('model', 'segmentor', 'test_cfg')
    mode = test_cfg.get('mode', 'whole')
    if mode not in ('whole', 'slide'):
        raise ConfigError(f"model.segmentor.test_cfg.mode is 'whole' or 'slide', not '{mode}'", (*key, 'mode'))
    for name in ('crop_size', 'stride'):
        if mode == 'slide' and name not in test_cfg:
            raise ConfigError(f'model.segmentor.test_cfg of mode slide needs {name}, such as [512, 512]', key)


def wants_sync_bn(model: dict[str, Any]) -> bool:
    """Tell whether the model dict asks for SyncBN anywhere."""
    return any(part.get('type') == 'SyncBN' for _, part in dicts(model))


def without_sync_bn(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict with BN for SyncBN, which needs an initialised process group on GPUs."""
    model = copy.deepcopy(model)
    for _, part in dicts(model):
        if part.get('type') == 'SyncBN':
            part['type'] = 'BN'
    return model


def _explain(error: Exception, model: dict[str, Any]) -> ConfigError:
    """Say in one line why mmseg could not build a model; for an unknown type, where it stands and what is like it."""
    reason = one_line(error)
    unknown = re.search(r'(\w+) is not in the \w+ registry', reason)
    where = [path for path, part in dicts(model, 'model.segmentor') if unknown and part.get('type') == unknown[1]]
    if not unknown or not where:
        return ConfigError(f'model.segmentor cannot be built by mmseg: {reason}', ('model', 'segmentor'))
    message = f"{where[0]}: mmseg has no '{unknown[1]}'{nearest(unknown[1], MODELS.module_dict)}"
    return ConfigError(message, (*where[0].split('.'), 'type'))
