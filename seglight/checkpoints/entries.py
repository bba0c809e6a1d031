"""Check the types of a checkpoint's entries once, so that other code can rely on them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from torch import Tensor

from seglight.errors import CheckpointError

#: The maximum of counts of steps, epochs and rows.
_MAX_COUNT = 2**53

#: The maximum of methods of a subclass, and a part of its path; in a function, it has `<locals>` in its path.
_MAX_METHODS, _WORD = 100, re.compile(r'(?!\d)\w{1,100}|<locals>')

#: The entries that Lightning and seglight write, with their types; other entries are not checked.
_ENTRIES: dict[str, type] = {
    'callbacks': dict,
    'config': str,
    'environment': str,
    'epoch': int,
    'exact_resume': dict,
    'global_step': int,
    'hyper_parameters': dict,
    'loops': dict,
    'lr_schedulers': list,
    'metrics': dict,
    'metrics_rows': int,
    'not_taken_over': list,
    'optimizer_states': list,
    'pytorch-lightning_version': str,
    'skipped': int,
    'subclass': dict,
}


_OPTIMIZER = (('state', dict), ('param_groups', list))


def check_entries(entries: Any, path: Path) -> None:
    """Check that a checkpoint has weights, and that its entries have the right types.

    Raises:
        CheckpointError: names the file and the wrong entry.
    """
    if not isinstance(entries, Mapping) or 'state_dict' not in entries:
        raise CheckpointError(f'{path} is not a checkpoint of seglight: it has no state_dict')
    weights = entries['state_dict']
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise CheckpointError(f'{path} is refused: state_dict must hold tensors by their names')
    for name, kind in _ENTRIES.items():
        value = entries.get(name)
        if value is None:
            continue
        if not isinstance(value, kind) or (isinstance(value, int) and not -1 <= value < _MAX_COUNT):
            raise CheckpointError(f'{path} is refused: {name} is {_shown(value)}')
    _check_classes(entries.get('hyper_parameters') or {}, path)
    if 'subclass' in entries:
        _check_subclass(entries['subclass'], path)
    _check_figures(entries, path)
    _check_schedules(entries, path)
    _check_states(entries, path)
    _check_loops(entries.get('loops') or {}, path)


def _check_classes(parameters: Mapping[str, Any], path: Path) -> None:
    classes = parameters.get('classes') or []
    if not isinstance(classes, (list, tuple)) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f'{path} is refused: classes of hyper_parameters must be a list of names')


def _check_subclass(record: Any, path: Path) -> None:
    name, methods = (record.get(key) if isinstance(record, Mapping) else None for key in ('name', 'predicts'))
    words: list[Any] = [None]
    if isinstance(name, str) and isinstance(methods, list) and len(methods) <= _MAX_METHODS:
        words = [*name.split('.'), *methods]
    if not all(isinstance(word, str) and _WORD.fullmatch(word) for word in words):
        raise CheckpointError(f'{path} is refused: subclass must hold a name and a list of methods')


def _check_loops(loops: Mapping[str, Any], path: Path) -> None:
    """Check the counts of batches and epochs, which Lightning itself uses unchecked."""
    for loop, state in loops.items():
        if not isinstance(state, Mapping):
            raise CheckpointError(f'{path} is refused: loops must hold a dict for each loop')
        for name, value in state.items():
            word = str(name)
            is_loop_of_batches = word.endswith('batch_progress') and loop != 'predict_loop'
            if word.endswith('progress') and not _is_progress(value, word, is_loop_of_batches):
                raise CheckpointError(f'{path} is refused: {word[:80]} must hold counts')


def _is_progress(value: Any, name: str, has_end: bool = False) -> bool:
    """Return whether a value has the counts of Lightning's progress of this name, which fails if any is missing.

    Args:
        value: the value.
        name: its name in the state of the loop.
        has_end: whether it must also contain `is_last_batch`.
    """
    if not isinstance(value, Mapping):
        return False
    if name.endswith('optim_progress'):
        steps = value.get('optimizer')
        return isinstance(steps, Mapping) and all(_is_progress(steps.get(each), each) for each in ('step', 'zero_grad'))
    whole = name.endswith(('batch_progress', 'epoch_progress'))
    parts = [value.get(each) for each in ('total', 'current')]
    return _is_count(value.get('is_last_batch', None if has_end else False)) and all(
        isinstance(part, Mapping)
        and all(map(_is_count, part.values()))
        and part.keys() >= {'ready', 'completed', *('started', 'processed') * whole}
        for part in parts
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _MAX_COUNT


def _check_figures(entries: Mapping[str, Any], path: Path) -> None:
    figures = entries.get('metrics') or {}
    if not all(isinstance(name, str) and isinstance(value, (int, float)) for name, value in figures.items()):
        raise CheckpointError(f'{path} is refused: metrics must hold numbers by their names')


def _check_schedules(entries: Mapping[str, Any], path: Path) -> None:
    """Check the states of schedules and optimizers, since torch accepts anything."""
    for state in entries.get('lr_schedulers') or []:
        rates = state.get('_last_lr', []) if isinstance(state, dict) else None
        counts = [state.get(name, 0) for name in ('last_epoch', '_step_count')] if isinstance(state, dict) else []
        numbers = isinstance(rates, list) and all(isinstance(rate, (int, float, Tensor)) for rate in rates)
        if not numbers or not all(isinstance(count, int) for count in counts):
            raise CheckpointError(f'{path} is refused: lr_schedulers must hold counts and rates')
    for state in entries.get('optimizer_states') or []:
        if not isinstance(state, dict) or not all(isinstance(state.get(name), kind) for name, kind in _OPTIMIZER):
            raise CheckpointError(f'{path} is refused: optimizer_states must hold states and groups of parameters')


def _check_states(entries: Mapping[str, Any], path: Path) -> None:
    """Reject URLs and paths outside the run in the states of callbacks, which write and delete these paths."""
    states = entries.get('callbacks') or {}
    for text in _texts(states):
        if '://' in text:
            raise CheckpointError(f"{path} is refused: a callback's state names the address {text[:80]!r}")
    for state in states.values():
        folder = str(state.get('dirpath')) if isinstance(state, Mapping) else ''
        for text in _texts(state):  # Lightning compares paths as they are spelled
            if '..' in re.split(r'[/\\]', text) and text != folder and not _is_below(text, folder):
                raise CheckpointError(f"{path} is refused: a callback's state leaves its folder: {text[:80]!r}")


def _is_below(name: str, folder: str) -> bool:
    """Return whether a path is inside a folder."""
    file, parent = (PurePath(os.path.normpath(each)) for each in (name, folder))
    return file != parent and file.is_relative_to(parent)


def _texts(value: Any) -> list[str]:
    """Return every string in nested values, which must be bounded and without cycles."""
    found, remaining = [], [value]
    while remaining:
        each = remaining.pop()
        if isinstance(each, str):
            found.append(each)
        elif isinstance(each, Mapping):
            remaining += [*each.keys(), *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            remaining += each
    return found


def _shown(value: Any) -> str:
    """Describe a wrong value for an error."""
    return str(value) if type(value) in (bool, float) else f'an invalid {type(value).__name__}'
