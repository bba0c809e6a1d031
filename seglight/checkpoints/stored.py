"""What of the config in a checkpoint may be used, which makes the file complete in itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from seglight.checkpoints.gate import TRAINER, admit
from seglight.config.files import parse_yaml
from seglight.config.settings import Key, Settings
from seglight.errors import CheckpointError, ConfigError, one_line
from seglight.own_modules import find_named

#: Values of these keys that build nothing.
_NOTHING: tuple[Any, ...] = (None, False, True, 'auto', [])

#: What the settings of a checkpoint are read for.
Purpose = Literal['training', 'prediction']


@dataclass
class Stored:
    """The settings in a checkpoint that may be used.

    Attributes:
        settings: those that passed the gate, without addresses of pretrained weights.
        refused: a message for each key that did not pass.
        left_out: keys that are never taken from a checkpoint, where they say something.
    """

    settings: Settings
    refused: dict[Key, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def check(self, given: Settings, needless: Iterable[Key] = ()) -> None:
        """Refuse the checkpoint where a key that did not pass is needed.

        Args:
            given: all settings, with those that were typed or stand in a config: they need not pass.
            needless: keys that do not matter.

        Raises:
            CheckpointError: for the first.
        """
        for key, message in self.refused.items():
            inner: Any = given.values
            for name in key:
                inner = inner.get(name) if isinstance(inner, dict) else None
            if inner is None and key not in needless:
                raise CheckpointError(message)


def parse_stored(text: str, source: str) -> Settings:
    """Return the YAML mapping in a text of a checkpoint; `source` is what errors call it.

    Raises:
        CheckpointError: if it is none.
    """
    try:
        return parse_yaml(text, source)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise CheckpointError(f'{source} stores a text that is not YAML: {one_line(error)[:200]}') from error


def read_stored(text: str, path: Path, parts: tuple[str, ...] | None, trust: bool, purpose: Purpose) -> Stored:
    """Return the settings that a checkpoint was trained with, as far as they pass the gate.

    Args:
        text: the config in it, as YAML.
        path: the checkpoint, for messages.
        parts: the groups to return, None for all.
        trust: let everything pass, for a file of one's own.
        purpose: what they are for; a prediction does without what says how to train.

    Raises:
        CheckpointError: if the text is not YAML.
    """
    from seglight.checkpoints.needed import without_training  # late: `seglight info` needs no model
    from seglight.models.pretrained import without_pretrained

    stored = parse_stored(text, str(path))
    values = {
        name: value
        for name, value in stored.values.items()
        if (str(name).isidentifier() if parts is None else name in parts)  # no `trainer+`, which would be merged
    }
    try:
        values['model'] = without_pretrained(values.get('model') or {})
        left_out = _left_out(values)
        if 'trainer' in values:
            values['trainer'] = _without_classes(values['trainer'])
        if purpose == 'prediction':
            values = without_training(values)
        values = {name: value for name, value in values.items() if name not in _COMMAND}
        if trust:
            find_named(values)
        values, refused = (values, {}) if trust else admit(values, path)
    except RecursionError:
        raise CheckpointError(f'{path} stores a config of too many levels') from None
    origins = {key: origin for key, origin in stored.origins.items() if key[0] in values}
    return Stored(Settings(values, origins), refused, left_out)


#: Keys that a command line says of itself or of the user's accounts; a checkpoint says none of them.
_COMMAND = (
    *('weights_only', 'trust_checkpoint', 'load_from', 'ckpt_path', 'work_dir', 'auto_resume'),
    *('wandb', 'tags', 'output', 'input', 'remark'),
)


def _left_out(values: dict[str, Any]) -> list[str]:
    """Return the keys of a config that say something and are never taken from a checkpoint."""
    trainer, wandb = (_mapping(values.get(name)) for name in ('trainer', 'wandb'))
    kept = _without_classes(trainer)
    said = [name for name, value in trainer.items() if str(name).isidentifier() and _says(value)]
    names = [f'trainer.{name}' for name in said if name not in kept]
    return names + ['wandb.project'] * bool(wandb.get('project'))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _says(value: Any) -> bool:
    """Return whether a value asks for anything."""
    return value not in _NOTHING


def _without_classes(trainer: Any) -> dict[str, Any]:
    """Return what of a stored trainer names no class: plain values under plain names, of keys that build nothing."""
    return {name: value for name, value in _mapping(trainer).items() if name in TRAINER and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a list of them, a word that is no path of a class, or null."""
    if isinstance(value, list):  # devices
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, (int, float)) or (isinstance(value, str) and not set(value) & set('./'))
