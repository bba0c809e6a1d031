"""Use the checkpoint of a subclass of `Segmentor` without the code of the subclass, where that predicts the same."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seglight.config.class_names import OF_DATA
from seglight.errors import CheckpointError
from seglight.models.subclass import ENTRY, record_of

#: The prefix of the weights that every `Segmentor` has.
_PREFIX = 'segmentor.'


def check_base_predicts(entries: Mapping[str, Any], path: Path) -> None:
    """Refuse the checkpoint of a subclass that predicts otherwise than `Segmentor`.

    Raises:
        CheckpointError: names the subclass, its methods, and what to pass.
    """
    record = entries.get(ENTRY) or {}
    if record.get('predicts'):
        name = record['name']
        raise CheckpointError(
            f'{path} was trained by {name}, which overrides {", ".join(record["predicts"])}: pass '
            f'segmentor={name.rpartition(".")[2]} to seglight.load; commands only have Segmentor'
        )


def parameters_for(cls: type, parameters: Mapping[str, Any], entries: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the hyperparameters that a class takes; those of a subclass are dropped for its base.

    Raises:
        CheckpointError: if there are others, and the checkpoint does not name a subclass that would have them.
    """
    taken = inspect.signature(cls).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in taken.values()):
        return dict(parameters)
    others = [name for name in parameters if name not in taken]
    if others and ENTRY not in entries:
        raise CheckpointError(
            f'{path} has the hyperparameter {others[0]}, which {cls.__name__} does not have: if a subclass trained it, '
            'pass segmentor=THE_SUBCLASS to seglight.load'
        )
    return {name: value for name, value in parameters.items() if name in taken}


def weights_for(cls: type, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights for a class; without those that a subclass adds for its own training."""
    weights: dict[str, Any] = entries['state_dict']
    if ENTRY not in entries or record_of(cls) is not None:
        return weights
    return {name: value for name, value in weights.items() if name.startswith(_PREFIX)}


def config_of(entries: Mapping[str, Any]) -> str | None:
    """Return a config with the model and the classes for a checkpoint of a user's own trainer, which stores none.

    None without hyperparameters of a `Segmentor`.
    """
    parameters = entries.get('hyper_parameters') or {}
    if not isinstance(parameters.get('segmentor'), dict) or not parameters.get('classes'):
        return None
    from seglight.models.segmentor import Segmentor  # late: `seglight info` needs no model

    names = inspect.signature(Segmentor).parameters
    model = {name: value for name, value in parameters.items() if name in names and name not in OF_DATA}
    data = {name: parameters[name] for name in OF_DATA if parameters.get(name) is not None}
    try:
        return str(yaml.safe_dump({'model': model, 'data': data}, sort_keys=False))
    except (yaml.YAMLError, RecursionError):  # values that are not plain
        return None
