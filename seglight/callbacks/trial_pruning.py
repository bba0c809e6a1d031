"""Reporting a run to a study of Optuna, which ends it early if it is worse than the others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.console import labelled
from seglight.errors import say
from seglight.extras import import_extra
from seglight.steps import planned_steps

#: The name of the only study in a file.
STUDY = 'sweep'

#: The attribute of a trial that its run was ended early.
PRUNED = 'pruned'

#: Of the trials that reach a rung, one in this many continues to the next, which is this many times as long.
REDUCTION = 3

#: Parts of a run before the first rung.
RUNGS = 9

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


class TrialPruning(Callback):
    """Reports each validation to a trial of Optuna, and ends the run if successive halving prunes it.

    Works in any Lightning project; needs the extra `sweep`. `seglight sweep` adds it to each run.

    Args:
        file: the journal with the study.
        trial: number of the trial.
        unit: what to count: steps of the optimizer, or epochs if none has several validations.
        monitor: the metric.
    """

    def __init__(self, file: str, trial: int, unit: Unit = 'step', monitor: str = 'val/mIoU') -> None:
        self.file = Path(file)
        self.number = trial
        self.unit = unit
        self.monitor = monitor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metric; only the first process speaks to the study."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        stops = trainer.is_global_zero and self._report(trainer)
        if trainer.strategy.broadcast(stops):
            trainer.should_stop = True

    def _report(self, trainer: Trainer) -> bool:
        """Report the metric, and return whether to end the run before its end."""
        storage = open_storage(self.file)
        number = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(STUDY), self.number)
        stored, done, length = storage.get_trial(number), self._done(trainer), self._length(trainer)
        if stored.state.is_finished():  # another run with the config of the trial
            return False
        if done in stored.intermediate_values:  # a resumed run may validate again
            return bool(stored.user_attrs.get(PRUNED))
        interval = min(stored.intermediate_values, default=done)  # that before the first validation
        first_rung = max(interval, math.ceil((length or 1) / RUNGS))
        trial = optuna_package().trial.Trial(open_study(storage, first_rung=first_rung), number)
        trial.report(float(trainer.callback_metrics[self.monitor]), done)
        # Asked at the last validation, too: the value then counts for the trials that come later.
        pruned = trial.should_prune() and (length is None or done + interval <= length)
        trial.set_user_attr(PRUNED, pruned)
        if pruned:
            say(labelled('Pruned', f'after {self.unit} {done}, by when other trials were better'))
        return pruned

    def _done(self, trainer: Trainer) -> int:
        """Return how many epochs or steps the run has made."""
        return trainer.current_epoch + 1 if self.unit == 'epoch' else trainer.global_step

    def _length(self, trainer: Trainer) -> int | None:
        """Return how many epochs or steps the whole run has; None if it is unlimited."""
        if trainer.max_epochs in (None, -1) and (self.unit == 'epoch' or trainer.max_steps == -1):
            return None
        return trainer.max_epochs if self.unit == 'epoch' else planned_steps(trainer)
