"""Loading an optimizer's state from a checkpoint, while its settings stay those of the current config."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor, nn
from torch.optim import Optimizer

from seglight.errors import CheckpointError, warn
from seglight.models.optimizers import parameter_names

_TYPE = 'type'  #: entry of the stored state with the class name of the optimizer

#: Entries of the state of torch's optimizers that have the shape of the parameter.
_SHAPED = frozenset(
    {
        *('momentum_buffer', 'exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'exp_inf', 'square_avg', 'grad_avg'),
        *('acc_delta', 'sum', 'prev', 'step_size', 'ax'),
    }
)

#: Entries that torch's optimizers keep only with a setting, and whose absence makes the next step fail.
KEPT_FOR = {'amsgrad': 'max_exp_avg_sq', 'centered': 'grad_avg'}

_DAMAGED = "the optimizer's state in the checkpoint is damaged"
_CURE = 'use --load-from to load the weights alone'

State = dict[str, Any]


def keep_settings(optimizer: Optimizer, module: nn.Module) -> None:
    """Make an optimizer keep its own settings when it loads the state of another one.

    torch loads everything: learning rates, decay, momentum and the groups. Here, states are matched to parameters
    by name, and stored settings never override the config. The state of another optimizer class is dropped with
    a warning.

    Args:
        optimizer: over the parameters of the module; its schedule, which sets the initial rates, already exists.
        module: provides the names of the parameters.
    """
    names = parameter_names(module)
    for group in optimizer.param_groups:
        group['param_names'] = [names[parameter] for parameter in group['params']]
    optimizer.register_state_dict_post_hook(_with_type)
    # A copy of the current ones: Lightning's finders try others, and restore these from a checkpoint.
    own = deepcopy(optimizer.state_dict()['param_groups'])
    optimizer.register_load_state_dict_pre_hook(lambda optimizer, stored: _adapted(optimizer, own, stored))


def _with_type(optimizer: Optimizer, state: State) -> State:
    return {**state, _TYPE: type(optimizer).__name__}


def _adapted(optimizer: Optimizer, own: Sequence[State], stored: State) -> State:
    """Return a stored state in the groups of an optimizer, with its own settings.

    Raises:
        CheckpointError: if the state is damaged, or the checkpoint has no parameter names and different groups.
    """
    _check_groups(stored['param_groups'])
    state = stored['state']
    if stored.get(_TYPE, type(optimizer).__name__) != type(optimizer).__name__:
        rank_zero_only(warn)(
            f'the checkpoint has the state of {stored[_TYPE]}, but model.optimizer is {type(optimizer).__name__}: '
            'its momentum starts at zero'
        )
        state = {}
    ids = _stored_ids(stored['param_groups'], optimizer.param_groups)
    groups_before = _stored_groups(stored['param_groups'])
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    groups, moved = [], {}
    for group in own:
        before = [ids[number] for number in group['params']]
        known = {number: state[old] for number, old in zip(group['params'], before, strict=True) if old in state}
        for number, kept in known.items():
            _check_state(kept, parameters[number], group['param_names'][group['params'].index(number)])
            moved[number] = _completed(_in_format_of(parameters[number], kept), group)
        # Entries added by a callback (StochasticWeightAveraging) stay, as does the rate until the schedule sets it.
        extra = groups_before.get(before[0], {})
        groups.append({**extra, **group, 'lr': extra.get('lr', group['lr'])})
    return {'state': moved, 'param_groups': groups}


def _check_groups(stored: Sequence[State]) -> None:
    """Refuse groups that do not list parameters by number, or have another number of names than parameters.

    Raises:
        CheckpointError: names the fault.
    """
    for group in stored:
        numbers = group.get('params') if isinstance(group, dict) else None
        if not isinstance(numbers, list) or not all(isinstance(number, int) for number in numbers):
            raise CheckpointError(f'{_DAMAGED}: its groups must list parameters by number; {_CURE}')
        names = group.get('param_names', numbers)
        if not isinstance(names, list) or len(names) != len(numbers) or not all(map(_is_name, names)):
            raise CheckpointError(f'{_DAMAGED}: a group must have as many names as parameters; {_CURE}')
        if not isinstance(group.get('lr', 0.0), (int, float, Tensor)):
            raise CheckpointError(f'{_DAMAGED}: a learning rate must be a number; {_CURE}')


def _is_name(name: Any) -> bool:
    return isinstance(name, (str, int))


def _check_state(kept: Any, parameter: Tensor, name: str) -> None:
    """Refuse a parameter's state of another shape: torch notices in the first step, or never.

    Raises:
        CheckpointError: names the parameter.
    """
    if not isinstance(kept, dict):
        raise CheckpointError(f"{_DAMAGED}: the state of '{name}' must be a dict; {_CURE}")
    for entry, value in kept.items():
        if entry == 'step' and not (isinstance(value, (int, float)) or (isinstance(value, Tensor) and not value.ndim)):
            raise CheckpointError(f"{_DAMAGED}: step of '{name}' must be a number; {_CURE}")
        if entry not in _SHAPED or value is None:
            continue
        shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        if shape not in (list(parameter.shape), []):  # ASGD has some single numbers
            expected = list(parameter.shape)
            raise CheckpointError(
                f"{_DAMAGED}: {entry} of '{name}' must have the shape {expected}, got {shape}; {_CURE}"
            )


def _in_format_of(parameter: Tensor, kept: State) -> State:
    """Return a parameter's state in its memory format, which fused kernels take for granted.

    A checkpoint has the format of its training: mmseg's models train in channels-last without a GPU.
    """
    if type(parameter) not in (Tensor, nn.Parameter):  # a shard
        return kept
    return {
        entry: torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
        if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride()
        else value
        for entry, value in kept.items()
    }


def _completed(kept: State, settings: State) -> State:
    """Return a parameter's state, with zeros for settings that were off when it was stored."""
    added = [entry for setting, entry in KEPT_FOR.items() if settings.get(setting)]
    if settings.get('momentum') and 'square_avg' in kept:  # RMSprop; SGD creates its own
        added.append('momentum_buffer')
    like = next((value for value in kept.values() if isinstance(value, Tensor) and value.ndim), None)
    if like is None:
        return kept
    return {**{entry: torch.zeros_like(like) for entry in added}, **kept}


def _stored_ids(stored: Sequence[State], groups: Sequence[State]) -> dict[int, int | None]:
    """Return the stored number of each parameter, None for a parameter that the checkpoint lacks."""
    if all('param_names' in group for group in stored):
        known = {name: number for group in stored for name, number in _pairs(group)}
        names = [name for group in groups for name in group['param_names']]
        return {number: known.get(name) for number, name in enumerate(names)}
    if [len(group['params']) for group in stored] != [len(group['params']) for group in groups]:
        raise CheckpointError(
            'the parameter groups of the checkpoint differ from those of model.optimizer; '
            f'use the settings it was trained with, or {_CURE}'
        )
    numbers = [number for group in stored for number in group['params']]
    return dict(enumerate(numbers))


def _pairs(group: State) -> list[tuple[str, int]]:
    return list(zip(group['param_names'], group['params'], strict=True))


def _stored_groups(stored: Sequence[State]) -> dict[int | None, State]:
    """Return the stored group of each parameter by its number."""
    return {number: group for group in stored for number in group['params']}
