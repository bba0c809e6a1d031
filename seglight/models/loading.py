"""A segmentor from a checkpoint alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

from seglight.checkpoints.budget import within_budget
from seglight.checkpoints.checkpoint import read_checkpoint, without_pretrained
from seglight.checkpoints.gate import admit_hyperparameters
from seglight.checkpoints.needed import TRAINING, without_losses
from seglight.errors import CheckpointError, UserError, one_line
from seglight.models.segmentor import Segmentor

AnySegmentor = TypeVar('AnySegmentor', bound=Segmentor)


def load_segmentor(path: Path, trust: bool = False) -> Segmentor:
    """Return the segmentor in a checkpoint on the CPU, in eval mode, without running code from the file.

    Args:
        path: the checkpoint.
        trust: whether it is a file of one's own, whose settings need not pass the gate.

    Raises:
        CheckpointError: if it cannot be loaded.
    """
    checkpoint = read_checkpoint(path)
    module: Segmentor = build_segmentor(path, checkpoint, trust)
    load_state(module, checkpoint['state_dict'], path)
    return module.eval()


def load_state(module: Segmentor, weights: dict[str, Any], path: Path, strict: bool = True) -> None:
    """Give a segmentor the weights of a checkpoint.

    Raises:
        CheckpointError: if they do not fit.
    """
    try:
        module.load_state_dict(weights, strict)
    except RuntimeError as error:
        reason = one_line(str(error).partition('\n')[2].partition('\n')[0] or error)
        raise CheckpointError(f'{path} does not fit the model that it describes: {reason}') from error


def build_segmentor(
    path: Path,
    checkpoint: dict[str, Any],
    trust: bool = False,
    cls: type[AnySegmentor] = Segmentor,  # type: ignore[assignment]
    given: Mapping[str, Any] | None = None,
) -> AnySegmentor:
    """Return the segmentor that the hyperparameters of a checkpoint describe, with random weights; none are fetched.

    Its heads have mmseg's plainest loss, whatever they were trained with.

    Args:
        path: the checkpoint.
        checkpoint: its entries.
        trust: whether it is a file of one's own, whose settings need not pass the gate.
        cls: the class that is built.
        given: arguments that win over those of the checkpoint.

    Raises:
        CheckpointError: if there are none, or they do not pass the gate.
    """
    parameters = checkpoint.get('hyper_parameters')
    if not isinstance(parameters, dict) or not isinstance(parameters.get('segmentor'), dict):
        raise CheckpointError(f'{path} holds no hyperparameters to build its model with: seglight did not write it')
    model = without_losses(without_pretrained(parameters['segmentor']))
    needless = TRAINING['model']
    parameters = {str(name): value for name, value in parameters.items() if name not in needless}
    parameters = {name: value for name, value in parameters.items() if not name.startswith('_')}
    parameters['segmentor'] = model
    if not trust:
        parameters = admit_hyperparameters(parameters, path)
    limits = nullcontext() if trust else within_budget(path, checkpoint['state_dict'])
    try:
        with limits:
            return cls(**{**parameters, **(given or {})})
    except UserError as error:
        raise CheckpointError(f'{path}: {error}') from error
    except (TypeError, ValueError, AttributeError, LookupError) as error:  # values of types that nobody checks
        raise CheckpointError(f'{path} describes no model that can be built: {one_line(error)}') from error
