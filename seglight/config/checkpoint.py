"""The config that a checkpoint stores, which makes it complete in itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from seglight.config.files import parse_yaml
from seglight.config.mmseg_checkpoint import is_mmseg_checkpoint, read_mmseg_checkpoint
from seglight.config.settings import Settings
from seglight.errors import CheckpointError
from seglight.files import newest
from seglight.plain_text import load_yaml

#: The entry of a checkpoint that holds the resolved config of its run, as YAML text.
CONFIG_ENTRY = 'config'

#: The entry that holds what the run was made with, as YAML text; see `seglight.environment`.
ENVIRONMENT_ENTRY = 'environment'

#: The entry that holds the figures that were known when it was written, a dict of floats.
METRICS_ENTRY = 'metrics'

#: What of the trainer is built from names of classes; a checkpoint comes from outside and may name none.
BUILDING_KEYS = ('callbacks', 'logger', 'plugins', 'profiler')

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
        return {
            name: None if _plain(name) == 'pretrained' or _is_pretrained(inner) else _without_pretrained(inner)
            for name, inner in value.items()
        }
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
    raise CheckpointError(f"Checkpoint '{name}' was not found, neither as a path nor in {work_dirs}{there}")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint's entries without running any code from it; tensors stay on disk until used.

    A checkpoint of mmseg gets the entries of one of this project.

    Raises:
        CheckpointError: if the file is no checkpoint, is damaged, or would need code to be loaded.
    """
    from seglight.weight_files import read_file  # late: it loads torch

    if is_mmseg_checkpoint(path):
        return read_mmseg_checkpoint(path)
    checkpoint = read_file(path)
    if not isinstance(checkpoint, dict) or 'state_dict' not in checkpoint:
        raise CheckpointError(f'{path} is not a checkpoint of seglight: it has no state_dict')
    return checkpoint


def stored_settings(path: Path, parts: tuple[str, ...] | None = PARTS, required: bool = True) -> Settings:
    """Return the settings that a checkpoint was trained with, without addresses of pretrained weights.

    Args:
        path: the checkpoint.
        parts: the groups to return, None for all.
        required: whether a checkpoint without settings is an error.

    Raises:
        CheckpointError: if the checkpoint stores none and they are required.
    """
    text = read_checkpoint(path).get(CONFIG_ENTRY)
    if text is None and not required:
        return Settings()
    if not isinstance(text, str):
        raise CheckpointError(f'{path} stores no config; give the one it was trained with as --config')
    stored = parse_yaml(text, str(path))
    values = {
        name: value
        for name, value in stored.values.items()
        if (str(name).isidentifier() if parts is None else name in parts)  # no `trainer+`, which would be merged
    }
    values['model'] = without_pretrained(values.get('model') or {})
    for name in ('weights_only', 'trust_checkpoint'):
        values.pop(name, None)
    if trainer := values.get('trainer'):
        values['trainer'] = _without_classes(trainer)
    return Settings(values, {key: origin for key, origin in stored.origins.items() if key[0] in values})


def left_out(path: Path) -> list[str]:
    """Return the keys of the trainer that a checkpoint was trained with and that `stored_settings` leaves out."""
    text = read_checkpoint(path).get(CONFIG_ENTRY) or ''
    trainer = (load_yaml(text, str(path), CheckpointError) or {}).get('trainer') or {}
    kept = _without_classes(trainer)
    return [f'trainer.{name}' for name, value in trainer.items() if name not in kept and value not in _NOTHING]


def _without_classes(trainer: Any) -> dict[str, Any]:
    """Return what of a stored trainer names no class: plain values under plain names, of keys that build nothing."""
    items = trainer.items() if isinstance(trainer, dict) else ()
    return {
        name: value
        for name, value in items
        if str(name).isidentifier() and name not in BUILDING_KEYS and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    """Tell whether a value is a number, a list of them, a word that is no path of a class, or null."""
    if isinstance(value, list):  # devices
        return all(isinstance(item, int) for item in value)
    return value is None or isinstance(value, (int, float)) or (isinstance(value, str) and '.' not in value)
