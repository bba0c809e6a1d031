"""Read the config in a checkpoint, as far as it passes the gate."""

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

#: The purpose of reading the settings.
Purpose = Literal['training', 'prediction']


@dataclass
class Stored:
    """The allowed settings of a checkpoint.

    Attributes:
        settings: those that passed the gate, without URLs of pretrained weights.
        refused: an error message for each key that did not pass.
        left_out: keys with a value that are never used from a checkpoint.
    """

    settings: Settings
    refused: dict[Key, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def check(self, given: Settings, needless: Iterable[Key] = ()) -> None:
        """Check that no key that is needed was refused.

        Args:
            given: settings from the command line or a config, which override those of the checkpoint.
            needless: keys that are not needed.

        Raises:
            CheckpointError: for the first refused key.
        """
        for key, message in self.refused.items():
            inner: Any = given.values
            for name in key:
                inner = inner.get(name) if isinstance(inner, dict) else None
            if inner is None and key not in needless:
                raise CheckpointError(message)


def parse_stored(text: str, source: str) -> Settings:
    """Parse the YAML mapping in a checkpoint; `source` is its name in errors.

    Raises:
        CheckpointError: if it is not a YAML mapping.
    """
    try:
        return parse_yaml(text, source)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        raise CheckpointError(f'{source} stores a text that is not YAML: {one_line(error)[:200]}') from error


def read_stored(
    text: str,
    path: Path,
    parts: tuple[str, ...] | None,
    trust: bool,
    purpose: Purpose,
    val_loss: bool | None = False,
) -> Stored:
    """Return the settings of a checkpoint that pass the gate.

    Args:
        text: the config in it, as YAML.
        path: the checkpoint, for messages.
        parts: the groups to return, None for all.
        trust: skip the gate, for your own files.
        purpose: 'prediction' drops the settings that only training needs.
        val_loss: whether a prediction keeps the losses for a validation loss; None if the settings say so.

    Raises:
        CheckpointError: if the text is not YAML.
    """
    from seglight.checkpoints.needed import without_training  # late: not needed by `seglight info`
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
            values = without_training(values, val_loss)
        values = {name: value for name, value in values.items() if name not in _COMMAND}
        if trust:
            find_named(values)
        values, refused = (values, {}) if trust else admit(values, path)
    except RecursionError:
        raise CheckpointError(f'{path} stores a config with too many levels') from None
    origins = {key: origin for key, origin in stored.origins.items() if key[0] in values}
    return Stored(Settings(values, origins), refused, left_out)


#: Keys about the command itself or the user's accounts; a checkpoint may not set them.
_COMMAND = (
    *('weights_only', 'trust_checkpoint', 'load_from', 'ckpt_path', 'work_dir', 'auto_resume'),
    *('wandb', 'tags', 'output', 'input', 'remark'),
)


def _left_out(values: dict[str, Any]) -> list[str]:
    """Return the keys of a config that have a value and are never used from a checkpoint."""
    trainer, wandb = (_mapping(values.get(name)) for name in ('trainer', 'wandb'))
    kept = _without_classes(trainer)
    effective = [name for name, value in trainer.items() if str(name).isidentifier() and _has_effect(value)]
    names = [f'trainer.{name}' for name in effective if name not in kept]
    return names + ['wandb.project'] * bool(wandb.get('project'))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _has_effect(value: Any) -> bool:
    """Return whether a value has an effect."""
    return value not in _NOTHING


def _without_classes(trainer: Any) -> dict[str, Any]:
    """Return the plain values of a stored trainer, for keys that build no objects."""
    return {name: value for name, value in _mapping(trainer).items() if name in TRAINER and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Return whether a value is a number, a list of numbers, a word that is not a class path, or null."""
    if isinstance(value, list):  # devices
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, (int, float)) or (isinstance(value, str) and not set(value) & set('./'))
