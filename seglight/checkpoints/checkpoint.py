"""The config that a checkpoint stores, which makes it complete in itself."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from seglight.checkpoints.gate import TRAINER, admit
from seglight.checkpoints.mmseg import is_mmseg_checkpoint, read_mmseg_checkpoint
from seglight.checkpoints.needed import without_training
from seglight.config.files import parse_yaml
from seglight.config.settings import Key, Settings
from seglight.errors import CheckpointError, ConfigError, one_line
from seglight.files import newest

#: The entry of a checkpoint that holds the resolved config of its run, as YAML text.
CONFIG_ENTRY = 'config'

#: The entry that holds what the run was made with, as YAML text; see `seglight.environment`.
ENVIRONMENT_ENTRY = 'environment'

#: The entry that holds the figures that were known when it was written, a dict of floats.
METRICS_ENTRY = 'metrics'

#: Arguments of the backbones that would fetch weights by default, whatever their `type` is prefixed with.
_FETCHING = {'TIMMBackbone': {'pretrained': False, 'checkpoint_path': ''}}

#: Values of these keys that build nothing.
_NOTHING: tuple[Any, ...] = (None, False, True, 'auto', [])

#: The parts of that config that another command starts from.
PARTS = ('model', 'data', 'seed_everything')


def without_pretrained(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict without the addresses of pretrained weights, wherever they stand.

    A checkpoint holds all weights, so nothing may be fetched to build the model that takes them.
    """
    cleaned: dict[str, Any] = _without_pretrained(model)
    return cleaned


def _without_pretrained(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {
            name: None if _plain(name) == 'pretrained' or _is_pretrained(inner) else _without_pretrained(inner)
            for name, inner in value.items()
        }
        return {**kept, **_FETCHING.get(str(value.get('type')).rpartition('.')[2], {})}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_pretrained(item) for item in value if not _is_pretrained(item))
    return copy.deepcopy(value)


def _is_pretrained(value: Any) -> bool:
    """Tell whether a value is an `init_cfg` with an address; Swin, for one, reads `checkpoint` whatever the type."""
    if not isinstance(value, dict):
        return False
    keys = {_plain(name): inner for name, inner in value.items()}
    return keys.get('type') == 'Pretrained' or 'checkpoint' in keys


def _plain(name: Any) -> str:
    """Return a key without the `+` that a config may add to it."""
    return str(name).rstrip('+')


def find_checkpoint(name: str, work_dirs: Path, best: bool = True) -> Path:
    """Return the file that `name` means: a path, or else a file below `work_dirs`.

    The folder of a run means its best checkpoint, or its newest where there is none or `best` is false.

    Raises:
        CheckpointError: if there is none.
    """
    for path in (Path(name), work_dirs / name):
        if path.is_file():
            return path
        for patterns in (['best_*.ckpt'], ['*.ckpt']) if best else (['epoch_*.ckpt', 'iter_*.ckpt'],):
            if found := newest(path, *patterns):
                return found
    folder = next((folder for folder in (Path(name), work_dirs / name) if folder.is_dir()), None)
    if folder:
        raise CheckpointError(f'{folder} holds no checkpoint')
    near = sorted(path.name for path in (work_dirs / name).parent.glob('*.ckpt'))
    there = f'; that folder holds {", ".join(near)}' if near else ''
    raise CheckpointError(f"Checkpoint '{name}' was not found, either as a path or in {work_dirs}{there}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's entries without running any code from it; tensors stay on disk until used.

    A checkpoint of mmseg gets the entries of one of this project.

    Raises:
        CheckpointError: if the file is no checkpoint, is damaged, or would need code to be loaded.
    """
    from seglight.checkpoints.entries import check_entries  # late: these load torch
    from seglight.weight_files import read_file

    if is_mmseg_checkpoint(path):
        return read_mmseg_checkpoint(path)
    checkpoint: dict[str, Any] = read_file(path)
    check_entries(checkpoint, path)
    return checkpoint


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


def read_stored(
    path: Path,
    parts: tuple[str, ...] | None = PARTS,
    required: bool = True,
    trust: bool = False,
    purpose: Purpose = 'training',
) -> Stored:
    """Return the settings that a checkpoint was trained with, as far as they pass the gate.

    Args:
        path: the checkpoint.
        parts: the groups to return, None for all.
        required: whether a checkpoint without settings is an error.
        trust: let everything pass, for a file of one's own.
        purpose: what they are for; a prediction does without what says how to train.

    Raises:
        CheckpointError: if the checkpoint stores none and they are required.
    """
    text = read_checkpoint(path).get(CONFIG_ENTRY)
    if text is None and not required:
        return Stored(Settings())
    if not isinstance(text, str):
        raise CheckpointError(f'{path} stores no config; give the one it was trained with as --config')
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
        values, refused = (values, {}) if trust else admit(values, path)
    except RecursionError:
        raise CheckpointError(f'{path} stores a config of too many levels') from None
    origins = {key: origin for key, origin in stored.origins.items() if key[0] in values}
    return Stored(Settings(values, origins), refused, left_out)


def stored_settings(path: Path, parts: tuple[str, ...] | None = PARTS, required: bool = True) -> Settings:
    """Return the settings of `read_stored`.

    Raises:
        CheckpointError: also if one does not pass the gate.
    """
    stored = read_stored(path, parts, required)
    stored.check(Settings())
    return stored.settings


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
    """Tell whether a value asks for anything."""
    return value not in _NOTHING


def _without_classes(trainer: Any) -> dict[str, Any]:
    """Return what of a stored trainer names no class: plain values under plain names, of keys that build nothing."""
    return {name: value for name, value in _mapping(trainer).items() if name in TRAINER and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    """Tell whether a value is a number, a list of them, a word that is no path of a class, or null."""
    if isinstance(value, list):  # devices
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, (int, float)) or (isinstance(value, str) and not set(value) & set('./'))
