"""Turn errors of Lightning and torch that end a run into user errors with a cure."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Trainer

from seglight.checkpoints.checkpoint import Checkpoint
from seglight.errors import CheckpointError, ConfigError, UsageError, UserError, one_line
from seglight.models.explain import explain_first_batch
from seglight.trainer_callbacks import callbacks_of

#: The start of torch's message about weights with other names or shapes.
_NOT_FITTING = 'Error(s) in loading state_dict'

#: A part of torch's message about an operation that a GPU cannot compute deterministically.
_NOT_DETERMINISTIC = 'does not have a deterministic implementation'


@contextmanager
def building_explained() -> Iterator[None]:
    """Turn an error that a class raises for an argument into a user error.

    Raises:
        ConfigError: names the key.
    """
    try:
        yield
    except ValueError as error:
        cause = error.__cause__  # the error of the class itself; jsonargparse's lists each member of a union
        if isinstance(cause, ConfigError):
            raise cause from None
        if not isinstance(cause, (ValueError, TypeError, MisconfigurationException)):
            raise
        key = re.search(r'\b(trainer\.\w+)', str(error))
        raise ConfigError(key[1] if key else 'trainer.callbacks', one_line(cause)) from error


@contextmanager
def reported(trainer: Trainer) -> Iterator[None]:
    """Call `on_exception` for callbacks that one of Lightning's finders has temporarily removed from the trainer."""
    callbacks = list(callbacks_of(trainer))
    try:
        yield
    except BaseException as error:
        for callback in callbacks:
            if callback not in callbacks_of(trainer):
                callback.on_exception(trainer, trainer.lightning_module, error)
        raise


@contextmanager
def running_explained(trainer: Trainer, checkpoint: Checkpoint | None) -> Iterator[None]:
    """Turn an error that ends a run into a user error, if the user can cause it.

    Args:
        trainer: the trainer of the run.
        checkpoint: the checkpoint that the run starts or resumes from.

    Raises:
        UserError: for example for weights that do not fit the model.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise UsageError(one_line(error)) from error
    except Exception as error:
        if _is_restoring(error) and not isinstance(error, UserError):
            raise CheckpointError(f'cannot resume from {checkpoint}: {one_line(error)}'[:500]) from error
        if not isinstance(error, (RuntimeError, ValueError)):
            raise
        if _NOT_DETERMINISTIC in str(error):
            operation = str(error).split()[0]
            message = f"cannot be true: a GPU has no deterministic {operation}; 'warn' allows it and warns"
            raise ConfigError('trainer.deterministic', message) from error
        if _NOT_FITTING in str(error):
            reasons = [line.strip() for line in str(error).splitlines()[1:]]
            more = f' (and {len(reasons) - 1} more)' if len(reasons) > 1 else ''
            raise CheckpointError(f'{checkpoint} does not fit the model: {reasons[0]}{more}') from error
        explained = explain_first_batch(error, trainer.global_step) or _explain_refusal(error)
        if explained is None:
            raise
        raise explained from error


def explain_trainer(error: Exception) -> UserError:
    """Return why Lightning cannot build the trainer, with a cure if Lightning's message has none."""
    text = one_line(error)
    if 'SLURM' in text:
        return UsageError(f'trainer: {text} For a run with one process, unset SLURM_NTASKS')
    if match := re.search(r'more than one stateful callback of type `(\w+)`', text):
        return ConfigError(
            'trainer.callbacks',
            f'two callbacks {match[1]} have the same settings, so a checkpoint cannot store their states '
            'separately; remove one of them, or change its settings',
        )
    return UsageError(f'trainer: {text}')


def _explain_refusal(error: Exception) -> UserError | None:
    """Return an error that Lightning itself raised as a user error; None for an error raised elsewhere."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get('__name__')).split('.')[0]
    from_lightning = package in ('pytorch_lightning', 'lightning_fabric')
    return UsageError(f'trainer: {one_line(error)}; --debug shows where') if from_lightning else None


#: Modules that restore states.
RESTORING = ('pytorch_lightning.trainer.connectors.checkpoint_connector', 'seglight.callbacks.resume')


def _is_restoring(error: Exception) -> bool:
    """Return whether an error occurred while restoring a checkpoint, other than weights that do not fit."""
    modules = [str(frame.f_globals.get('__name__')) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name in RESTORING for name in modules) and _NOT_FITTING not in str(error)
