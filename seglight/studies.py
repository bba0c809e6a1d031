"""Studies of Optuna, each in a journal, to which several processes and machines may append at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from seglight.extras import import_extra

#: The name of the only study in a file.
STUDY = 'sweep'

#: The attribute of a trial that its run was ended early.
PRUNED = 'pruned'

#: Of the trials that reach a rung, one in this many continues to the next, which is this many times as long.
REDUCTION = 3

#: What a run counts its validations in.
Unit = Literal['epoch', 'step']


def optuna_package() -> Any:
    """Return Optuna, which then reports only warnings.

    Raises:
        ConfigError: if it is not installed.
    """
    optuna = import_extra('optuna', 'sweep', 'sweep')
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def open_storage(file: Path) -> Any:
    """Return the storage in a journal."""
    optuna = optuna_package()
    # The lock is a file: unlike a link, Optuna's default, it needs no privilege on Windows.
    lock = optuna.storages.journal.JournalFileOpenLock(str(file))
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file), lock))


def open_study(storage: Any, direction: str | None = None, seed: int = 0, first_rung: int = 1) -> Any:
    """Return the study in the storage of a journal, to which several processes and machines may append at once.

    Args:
        storage: see `open_storage`.
        direction: `maximize` or `minimize`; creates the study if it does not exist.
        seed: of the sampler.
        first_rung: epochs or steps before the first pruning.

    Raises:
        ConfigError: if Optuna is not installed.
    """
    optuna = optuna_package()
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=first_rung, reduction_factor=REDUCTION)
    sampler = optuna.samplers.TPESampler(seed=seed)
    if direction is None:
        return optuna.load_study(study_name=STUDY, storage=storage, pruner=pruner, sampler=sampler)
    return optuna.create_study(
        study_name=STUDY, storage=storage, pruner=pruner, sampler=sampler, direction=direction, load_if_exists=True
    )
