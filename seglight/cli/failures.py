"""What ends a run in Lightning or in torch, as an error of the user's with its cure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, Trainer

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError, ConfigError, UsageError, UserError, one_line
from seglight.models.explain import explain_first_batch

#: What begins torch's message about weights of other names or shapes.
_NOT_FITTING = 'Error(s) in loading state_dict'


@contextmanager
def building_explained() -> Iterator[None]:
    """Turn what the class of an argument says of its value into an error of the user's.

    Raises:
        ConfigError: names the key.
    """
    try:
        yield
    except ValueError as error:
        cause = error.__cause__  # jsonargparse tries each member of a union: it is what the class itself said
        if isinstance(cause, ConfigError):
            raise cause from None
        if not isinstance(cause, (ValueError, TypeError, MisconfigurationException)):
            raise
        found = re.search(r'\b(trainer\.\w+)', str(error))
        raise ConfigError(found[1] if found else 'trainer.callbacks', one_line(cause)) from error


@contextmanager
def reported(trainer: Trainer) -> Iterator[None]:
    """Let callbacks know what ends a run while one of Lightning's finders, which puts them aside, tries some steps."""
    callbacks: list[Callback] = list(trainer.callbacks)  # type: ignore[attr-defined]  # which it sets without a type
    try:
        yield
    except BaseException as error:
        for callback in callbacks:
            if callback not in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_exception(trainer, trainer.lightning_module, error)
        raise


@contextmanager
def running_explained(trainer: Trainer, checkpoint: Checkpoint | None) -> Iterator[None]:
    """Turn what ends a run into an error of the user's, where it is one.

    Args:
        trainer: runs.
        checkpoint: that it starts or goes on from.

    Raises:
        UserError: such as weights that do not fit the model.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise UsageError(one_line(error)) from error
    except Exception as error:
        if _is_restoring(error) and not isinstance(error, UserError):
            raise CheckpointError(f'{checkpoint} cannot be resumed from: {one_line(error)}'[:500]) from error
        if not isinstance(error, (RuntimeError, ValueError)):
            raise
        if _NOT_FITTING in str(error):
            reasons = [line.strip() for line in str(error).splitlines()[1:]]
            more = f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''
            raise CheckpointError(f'{checkpoint} does not fit the model: {reasons[0]}{more}') from error
        explained = explain_first_batch(error, trainer.global_step) or _explain_refusal(error)
        if explained is None:
            raise
        raise explained from error


def explain_trainer(error: Exception) -> UserError:
    """Return why Lightning builds no trainer, with a cure where Lightning has none."""
    text = one_line(error)
    if 'SLURM' in text:
        return UsageError(f'trainer: {text} For a run of one process, unset SLURM_NTASKS')
    if found := re.search(r'more than one stateful callback of type `(\w+)`', text):
        return ConfigError(
            'trainer.callbacks',
            f'two callbacks {found[1]} have the same settings, so that their states in a checkpoint '
            'are one; remove one of them, or let them differ',
        )
    return UsageError(f'trainer: {text}')


def _explain_refusal(error: Exception) -> UserError | None:
    """Return what Lightning itself refused as an error of the user's, None if it was not that.

    Args:
        error: ended the run, at its start or in any of its epochs.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get('__name__')).split('.')[0]
    refused = package in ('pytorch_lightning', 'lightning_fabric')
    return UsageError(f'trainer: {one_line(error)}; --debug shows where') if refused else None


#: Modules that bring states back.
RESTORING = ('pytorch_lightning.trainer.connectors.checkpoint_connector', 'seglight.callbacks.resume')


def _is_restoring(error: Exception) -> bool:
    """Tell whether an error comes from bringing the states of a checkpoint back, other than weights that do not fit."""
    frames = [str(frame.f_globals.get('__name__')) for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = any(name in RESTORING for name in frames)
    return own and _NOT_FITTING not in str(error)
