"""Optimizers and their parameter groups, as mmcv's and mmseg's constructors make them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmcv.runner.optimizer import OPTIMIZER_BUILDERS as MMCV_CONSTRUCTORS
from mmseg.core.builder import OPTIMIZER_BUILDERS as MMSEG_CONSTRUCTORS
from mmseg.core.builder import build_optimizer_constructor
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from seglight.config.classes import import_class, name_and_arguments
from seglight.errors import ConfigError, one_line
from seglight.models import layer_decay  # noqa: F401  (registers its constructor)
from seglight.models.paramwise import check_paramwise
from seglight.models.signatures import check_types
from seglight.similar import nearest

_KEY = 'model.optimizer'


def build_optimizer(segmentor: nn.Module, optimizer: dict[str, Any], others: Sequence[nn.Parameter] = ()) -> Optimizer:
    """Build an optimizer over all parameters of a segmentor.

    The groups are those of mmcv's constructor, but groups with the same options are merged: mmcv makes
    one group per parameter, which keeps torch from updating many at once.

    Args:
        segmentor: an mmseg segmentor.
        optimizer: mmseg's `optimizer`: `type` (a torch optimizer, or the class path of any other),
            its arguments, and optionally `paramwise_cfg` and `constructor`.
        others: parameters outside of the segmentor, which get the optimizer's own arguments.

    Raises:
        ConfigError: for a wrong value, or an unknown type, constructor, argument or key of
            `paramwise_cfg`; names the nearest valid one.
    """
    name, arguments = name_and_arguments(optimizer, _KEY)
    paramwise = arguments.pop('paramwise_cfg', None)
    constructor = arguments.pop('constructor', 'DefaultOptimizerConstructor')
    cls = find_optimizer(name)
    _check(name, cls, arguments, str(constructor))
    check_types(cls, arguments, _KEY)
    check_paramwise(paramwise, str(constructor), arguments, segmentor)
    logging.getLogger('mmseg').setLevel(logging.WARNING)  # the layer-decay constructors report every parameter
    config = {
        'type': constructor,
        'optimizer_cfg': {'type': cls, **arguments},
        'paramwise_cfg': None if paramwise is None else dict(paramwise),
    }
    try:
        built: Optimizer = build_optimizer_constructor(config)(segmentor)
    except NotImplementedError as error:
        backbone = type(segmentor.backbone).__name__
        message = f'{constructor} does not support {backbone}, only ConvNeXt, BEiT, MAE and TIMMBackbone'
        raise ConfigError(f'{_KEY}.constructor', message) from error
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise ConfigError(_KEY, one_line(error)) from error
    if others:
        built.add_param_group({'params': [*others]})
    built.param_groups[:] = merged_groups(built.param_groups)
    return built


def find_optimizer(name: str) -> type[Optimizer]:
    """Return an optimizer class: torch's by name, any other by class path.

    Raises:
        ConfigError: if it does not exist, or cannot train a segmentor; names the nearest of torch's.
    """
    path = name if '.' in name else f'torch.optim.{name}'
    known = [each for each, value in vars(torch.optim).items() if _is_optimizer(value)]
    module, _, short = path.rpartition('.')
    if module == 'torch.optim' and short not in known:
        message = f"torch has no optimizer '{short}'{nearest(short, known)}"
        raise ConfigError(f'{_KEY}.type', message)
    found: type[Optimizer] = import_class(path, Optimizer, f'{_KEY}.type')
    if issubclass(found, torch.optim.SparseAdam):
        raise ConfigError(f'{_KEY}.type', f'must not be {short}: segmentors have no sparse gradients; use Adam')
    return found


def _is_optimizer(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Optimizer) and value is not Optimizer


def _check(name: str, cls: type[Optimizer], arguments: dict[str, Any], constructor: str) -> None:
    """Refuse an argument that the optimizer does not accept, and an unknown constructor."""
    parameters = inspect.signature(cls).parameters
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for argument in arguments:
        if not open_ended and (argument not in parameters or argument == 'params'):
            hint = nearest(argument, parameters) or '; _delete_: true next to type drops the settings of a base config'
            raise ConfigError(f'{_KEY}.{argument}', f"{name} has no argument '{argument}'{hint}")
    constructors = {**MMCV_CONSTRUCTORS.module_dict, **MMSEG_CONSTRUCTORS.module_dict}
    if constructor not in constructors:
        hint = nearest(constructor, constructors)
        message = f"unknown constructor '{constructor}'{hint}"
        raise ConfigError(f'{_KEY}.constructor', message)


def check_fused(optimizer: Mapping[str, Any], trainer: Trainer) -> None:
    """Refuse a fused optimizer with float16 and gradient clipping; Lightning would stop in the first step.

    Args:
        optimizer: as for `build_optimizer`.
        trainer: of the run.

    Raises:
        ConfigError: for this combination.
    """
    scaled = getattr(trainer.precision_plugin, 'scaler', None) is not None
    if optimizer.get('fused') and scaled and trainer.gradient_clip_val:
        message = (
            'must be false with trainer.precision: 16-mixed and trainer.gradient_clip_val, since a fused optimizer '
            'unscales the gradients itself, after the clipping; or use trainer.precision: bf16-mixed'
        )
        raise ConfigError(f'{_KEY}.fused', message)


def merged_groups(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups, merging those that differ only in their parameters, in order of first appearance."""
    merged: dict[str, dict[str, Any]] = {}
    for group in groups:
        options = {name: value for name, value in group.items() if name not in ('params', 'param_names')}
        first = merged.setdefault(repr(sorted(options.items())), {**options, 'params': []})
        first['params'].extend(group['params'])
    return list(merged.values())


def groups_table(module: nn.Module, optimizer: Optimizer) -> str:
    """Return a table of the groups: rate, decay, number of parameters, and the first names of each."""
    names = parameter_names(module)
    rows = [('lr', 'weight_decay', 'tensors', 'parameters', 'trained', 'first names')]
    for group in optimizer.param_groups:
        tensors: list[Tensor] = group['params']
        rows.append(
            (
                f'{float(group.get("initial_lr", group["lr"])):.4g}',
                f'{group.get("weight_decay", 0):.4g}',
                str(len(tensors)),
                f'{sum(tensor.numel() for tensor in tensors):,}',
                f'{sum(tensor.numel() for tensor in tensors if tensor.requires_grad):,}',
                first_names(names, tensors, 3),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        '  '.join([*(f'{cell:>{width}}' for cell, width in zip(row, widths, strict=False)), row[5]]) for row in rows
    ]
    return '\n'.join(lines) + '\n'


def parameter_names(module: nn.Module) -> dict[Tensor, str]:
    """Return the name of each parameter, within the segmentor for those of the segmentor in a module."""
    return {parameter: name.removeprefix('segmentor.') for name, parameter in module.named_parameters()}


def first_names(names: Mapping[Tensor, str], tensors: Sequence[Tensor], count: int) -> str:
    """Return the names of the first `count` parameters, with an ellipsis if there are more."""
    return ', '.join(names[tensor] for tensor in tensors[:count]) + (', ...' if len(tensors) > count else '')
