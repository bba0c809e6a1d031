"""A checkpoint for predictions as safetensors, which other programs can read: weights, and its settings as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from safetensors.torch import save

from seglight.checkpoints.from_mmseg import NOT_TAKEN_OVER
from seglight.errors import CheckpointError
from seglight.files import write_atomically
from seglight.models.subclass import ENTRY
from seglight.weight_files import opened, read_file

if TYPE_CHECKING:
    from seglight.checkpoints.checkpoint import Checkpoint

#: The name of the settings in the header.
_NAME = 'seglight'

#: The entries of a checkpoint that predictions need, besides the weights.
_KEPT = ('hyper_parameters', 'config', 'environment', 'metrics', 'epoch', 'global_step', ENTRY, NOT_TAKEN_OVER)


def save_plain(checkpoint: Checkpoint, path: Path) -> None:
    """Write the weights and settings of a checkpoint.

    Raises:
        CheckpointError: if the checkpoint has settings that are not plain values.
    """
    entries = {name: checkpoint.entries[name] for name in _KEPT if name in checkpoint.entries}
    try:
        text = json.dumps(entries)
    except TypeError as error:
        raise CheckpointError(f'{checkpoint} has settings that cannot be written as JSON: {error}') from error
    weights = {name: value.contiguous().clone() for name, value in checkpoint.weights.items()}
    write_atomically(path, save(weights, {_NAME: text}))


def plain_entries(path: Path) -> dict[str, Any]:
    """Return the entries of a file of `save_plain`.

    Raises:
        CheckpointError: if it is damaged, or has weights alone.
    """
    weights = read_file(path)
    with opened(path), safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(_NAME)
    if text is None:
        raise CheckpointError(f'{path} has weights without settings: give them to --load-from, or export with seglight')
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f'{path} has settings that are not JSON') from error
    if not isinstance(entries, Mapping):
        raise CheckpointError(f'{path} has settings that are not a mapping')
    return {**{name: entries[name] for name in _KEPT if name in entries}, 'state_dict': weights}
