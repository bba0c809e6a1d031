"""The entries of an exported file, by the names of those in a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.checkpoints.stored import parse_stored
from seglight.errors import CheckpointError
from seglight.runtimes.opening import read_metadata

#: The class that runs an exported file; only code in this folder may name it, never a file.
TYPE = 'ExportedSegmentor'


def exported_entries(path: Path) -> dict[str, Any]:
    """Return the settings in an exported file; it has no weights that torch could load.

    Args:
        path: the file.

    Returns:
        `state_dict`, which is empty, `config` (YAML text), and `hyper_parameters`, which have to pass the gate.

    Raises:
        CheckpointError: if it is missing, damaged, or not one of seglight.
    """
    metadata = read_metadata(path)
    model = parse_stored(metadata.config, f'{path}: config').values.get('model')
    if not isinstance(model, dict) or not isinstance(model.get('segmentor'), dict):
        raise CheckpointError(f'{path} has invalid metadata: its config has no model')
    parameters = {'classes': metadata.classes, 'palette': metadata.palette, 'ignore_index': metadata.ignore_index}
    return {'state_dict': {}, 'config': metadata.config, 'hyper_parameters': {**model, **parameters}}


def name_file(model: dict[str, Any], path: Path, trust: bool) -> None:
    """Make a model dict that passed the gate run an exported file, in place.

    Args:
        model: the settings of the model; of its segmentor only `test_cfg` is kept.
        path: the file.
        trust: whether it is the user's own.
    """
    test_cfg = model['segmentor'].get('test_cfg')
    model['segmentor'] = {'type': TYPE, 'path': str(path), 'trust': trust, 'test_cfg': test_cfg}
