"""A segmentor from a checkpoint alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seglight.config.checkpoint import read_checkpoint, without_pretrained
from seglight.errors import CheckpointError
from seglight.models.segmentor import Segmentor


def load_segmentor(path: Path) -> Segmentor:
    """Return the segmentor in a checkpoint on the CPU, in eval mode, without running code from the file.

    Raises:
        CheckpointError: if it cannot be loaded.
    """
    checkpoint = read_checkpoint(path)
    module = build_segmentor(path, checkpoint)
    try:
        module.load_state_dict(checkpoint['state_dict'])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(f'{path} does not fit the model that it describes: {reason}') from error
    return module.eval()


def build_segmentor(path: Path, checkpoint: dict[str, Any]) -> Segmentor:
    """Return the segmentor that the hyperparameters of a checkpoint describe, with random weights; none are fetched.

    Raises:
        CheckpointError: if there are none.
    """
    parameters = checkpoint.get('hyper_parameters')
    if not isinstance(parameters, dict) or 'segmentor' not in parameters:
        raise CheckpointError(f'{path} holds no hyperparameters to build its model with: seglight did not write it')
    parameters = {name: value for name, value in parameters.items() if not name.startswith('_')}
    return Segmentor(**{**parameters, 'segmentor': without_pretrained(parameters['segmentor'])})
