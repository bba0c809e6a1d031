"""From an mmseg model dict to a segmentor with the right number of classes."""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
from typing import Any

from mmcv import ConfigDict
from mmseg.models import build_segmentor
from mmseg.models.builder import MODELS
from mmseg.models.segmentors import BaseSegmentor

from seglight.config.settings import dicts
from seglight.errors import ConfigError, UserError
from seglight.models import losses
from seglight.models.checks import (
    HEAD_KEYS,
    check_arguments,
    check_class_weights,
    check_in_index,
    check_out_channels,
    check_test_cfg,
    check_train_cfg,
    own_labels,
    takes_argument,
)
from seglight.models.class_weights import with_read_weights
from seglight.models.explain import explain, explain_weights
from seglight.models.loss_checks import check_losses
from seglight.models.pretrained import check_reached
from seglight.weights import cache  # noqa: F401  (teaches mmcv addresses such as weights://swin.pth)

#: Packages that a `type` may name before a dot, as in `mmcls.ConvNeXt`.
PACKAGES = ('mmseg', 'mmcls')


def build(model: dict[str, Any], num_classes: int, ignore_index: int = 255) -> BaseSegmentor:
    """Build an mmseg segmentor and initialise its weights as the model dict says.

    Args:
        model: an mmseg model dict (`type`, `backbone`, `decode_head`, ...); it is not changed.
        num_classes: set in every head that predicts the data's classes, whatever the dict says.
        ignore_index: label without a loss, set in every head and loss that knows of it.

    Returns:
        The segmentor with BatchNorm in place of SyncBN (see `wants_sync_bn`).

    Raises:
        ConfigError: if mmseg cannot build it; names the part and the nearest known type.
    """
    segmentor = construct(model, num_classes, ignore_index)
    check_losses(segmentor)
    logging.getLogger('mmcv').setLevel(logging.WARNING)  # it reports the statistics of every parameter
    try:
        segmentor.init_weights()
    except (KeyError, TypeError, ValueError, AssertionError, RuntimeError, OSError) as error:
        raise explain_weights(error, model) from error
    check_reached(segmentor, model)
    return segmentor


def construct(model: dict[str, Any], num_classes: int, ignore_index: int = 255) -> BaseSegmentor:
    """Do what `build` does, but leave the weights as torch's layers make them and fetch none."""
    _import_packages(model)
    model = with_classes(losses.with_class_paths(with_read_weights(model)), num_classes, ignore_index)
    model = with_tuples(without_sync_bn(model))
    model['test_cfg'] = model.get('test_cfg') or {'mode': 'whole'}
    check_arguments(model)
    check_class_weights(model, num_classes)
    check_out_channels(model, num_classes)
    check_train_cfg(model.get('train_cfg') or {})
    check_test_cfg(model['test_cfg'])
    model = losses.without_balanced(model, num_classes)
    try:
        segmentor: BaseSegmentor = build_segmentor(ConfigDict(model))
    except UserError as error:  # of the project's own classes, which mmcv repeats with a prefix and without its key
        raise _own(error) from error
    except (KeyError, TypeError, ValueError, AssertionError, RuntimeError, OSError) as error:
        raise explain(error, model) from error
    check_in_index(segmentor)
    return segmentor


def check_keys(model: dict[str, Any]) -> None:
    """Refuse a key of the model dict that no class takes, without building anything.

    Raises:
        ConfigError: names the key and the nearest valid one.
    """
    _import_packages(model)
    check_arguments(losses.with_class_paths(model))


def _import_packages(model: dict[str, Any]) -> None:
    """Import the packages that types such as `mmcls.ConvNeXt` name, so that mmcv's registry knows them.

    These are OpenMMLab's own; a config names classes, it does not choose what is imported.
    """
    for path, part in dicts(model, 'model.segmentor'):
        scope = str(part.get('type')).rpartition('.')[0]
        if scope in PACKAGES:
            importlib.import_module(f'{scope}.models')
        elif scope and 'loss_decode' not in path.split('.'):  # a loss may be of any package
            known = ', '.join(PACKAGES)
            message = f"'{part['type']}' is in none of the packages whose classes are known: {known}"
            raise ConfigError(f'{path}.type', message)


def with_classes(model: dict[str, Any], num_classes: int, ignore_index: int = 255) -> dict[str, Any]:
    """Return the model dict with `num_classes` in every head, nested and cascaded ones too, and `ignore_index`.

    A head is recognised by its type, so that one that leaves `num_classes` to its default (150 in
    K-Net's) gets it as well. A head that is made of heads, as K-Net's, has no number of its own, and
    one that predicts labels of its own, as STDC's boundaries, is left as it is.
    """
    model = copy.deepcopy(model)
    for key in HEAD_KEYS:
        heads = [part for _, part in dicts(model.get(key)) if _is_head(part)]
        for head in heads:
            own = own_labels(head)
            if own is not None:
                head.setdefault('num_classes', own)
                continue
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


def wants_sync_bn(model: dict[str, Any]) -> bool:
    """Tell whether the model dict asks for SyncBN anywhere."""
    return any(part.get('type') == 'SyncBN' for _, part in dicts(model))


def with_tuples(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict with a tuple for each list whose argument is a tuple by default.

    YAML has no tuples, and some classes of mmseg insist on them (JPU, CGNet, MobileNetV3).
    """
    model = copy.deepcopy(model)
    for _, part in dicts(model):
        cls = MODELS.get(str(part.get('type')))
        for name, parameter in inspect.signature(cls).parameters.items() if inspect.isclass(cls) else ():
            if isinstance(parameter.default, tuple) and isinstance(part.get(name), list):
                part[name] = tuple(part[name])
    return model


def without_sync_bn(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict with BN for SyncBN, which needs an initialised process group on GPUs."""
    model = copy.deepcopy(model)
    for _, part in dicts(model):
        if part.get('type') == 'SyncBN':
            part['type'] = 'BN'
    return model


def _own(error: UserError) -> UserError:
    """Return the first of a chain of errors of the user's: mmcv raises anew, without a key, what a class raises."""
    while isinstance(error.__context__, UserError):
        error = error.__context__
    return error
