"""Taking the state of an optimizer from a checkpoint, while its settings stay those of the config in force."""

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

_TYPE = 'type'  #: entry of the stored state that names the optimizer's class

#: What torch's optimizers keep only where a setting asks for it, and do not miss in silence.
KEPT_FOR = {'amsgrad': 'max_exp_avg_sq', 'centered': 'grad_avg'}

State = dict[str, Any]


def keep_settings(optimizer: Optimizer, segmentor: nn.Module) -> None:
    """Let an optimizer keep its own settings when it takes the state of another one.

    torch takes over everything: rates, decay, momentum and the division into groups. Here a parameter finds its
    state by its name, and what is stored decides nothing that the config sets. The state of another kind of
    optimizer is left out, and a warning says so.

    Args:
        optimizer: over the parameters of the segmentor, with its schedule, which sets their first rate.
        segmentor: gives the parameters their names.
    """
    names = parameter_names(segmentor)
    for group in optimizer.param_groups:
        group['param_names'] = [names[parameter] for parameter in group['params']]
    optimizer.register_state_dict_post_hook(_with_type)
    # As they are now: Lightning's finders try others, and restore these from a checkpoint.
    own = deepcopy(optimizer.state_dict()['param_groups'])
    optimizer.register_load_state_dict_pre_hook(lambda optimizer, stored: _adapted(optimizer, own, stored))


def _with_type(optimizer: Optimizer, state: State) -> State:
    return {**state, _TYPE: type(optimizer).__name__}


def _adapted(optimizer: Optimizer, own: Sequence[State], stored: State) -> State:
    """Return a stored state in the groups of an optimizer, with its own settings.

    Raises:
        CheckpointError: if the checkpoint has no names of parameters, and other groups.
    """
    state = stored['state']
    if stored.get(_TYPE, type(optimizer).__name__) != type(optimizer).__name__:
        rank_zero_only(warn)(
            f'the checkpoint has the state of {stored[_TYPE]}, model.optimizer is {type(optimizer).__name__}: '
            'its momentum starts at zero'
        )
        state = {}
    ids = _stored_ids(stored['param_groups'], optimizer.param_groups)
    groups_before = _stored_groups(stored['param_groups'])
    groups, moved = [], {}
    for group in own:
        before = [ids[number] for number in group['params']]
        known = {number: state[old] for number, old in zip(group['params'], before, strict=True) if old in state}
        moved.update({number: _completed(kept, group) for number, kept in known.items()})
        # What a callback added (StochasticWeightAveraging) stays, and the rate, until the schedule sets it.
        extra = groups_before.get(before[0], {})
        groups.append({**extra, **group, 'lr': extra.get('lr', group['lr'])})
    return {'state': moved, 'param_groups': groups}


def _completed(kept: State, settings: State) -> State:
    """Return the state of a parameter with zeros for what settings ask for that were off when it was stored."""
    added = [entry for setting, entry in KEPT_FOR.items() if settings.get(setting)]
    if settings.get('momentum') and 'square_avg' in kept:  # RMSprop; SGD makes its own
        added.append('momentum_buffer')
    like = next((value for value in kept.values() if isinstance(value, Tensor) and value.ndim), None)
    if like is None:
        return kept
    return {**{entry: torch.zeros_like(like) for entry in added}, **kept}


def _stored_ids(stored: Sequence[State], groups: Sequence[State]) -> dict[int, int | None]:
    """Return the stored number of each parameter, None for one that the checkpoint does not know."""
    if all('param_names' in group for group in stored):
        known = {name: number for group in stored for name, number in _pairs(group)}
        names = [name for group in groups for name in group['param_names']]
        return {number: known.get(name) for number, name in enumerate(names)}
    if [len(group['params']) for group in stored] != [len(group['params']) for group in groups]:
        raise CheckpointError(
            'the optimizer of the checkpoint has other groups of parameters than model.optimizer; '
            'give the settings it was trained with, or take its weights alone by --load-from'
        )
    numbers = [number for group in stored for number in group['params']]
    return dict(enumerate(numbers))


def _pairs(group: State) -> list[tuple[str, int]]:
    return list(zip(group['param_names'], group['params'], strict=True))


def _stored_groups(stored: Sequence[State]) -> dict[int | None, State]:
    """Return the stored group of each parameter by its number."""
    return {number: group for group in stored for number in group['params']}
