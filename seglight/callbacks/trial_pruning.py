"""Reporting a run to a study of Optuna, which ends it early if it is worse than the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.console import labelled
from seglight.errors import say
from seglight.extras import import_extra

#: The name of the only study in a file.
STUDY = 'sweep'

#: The attribute of a trial that its run was ended early.
PRUNED = 'pruned'

#: Of the trials that reach a rung, one in this many continues to the next, which is this many times as long.
REDUCTION = 3


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


def open_study(storage: Any, first_rung: int, direction: str | None = None, seed: int = 0) -> Any:
    """Return the study in the storage of a journal, to which several processes and machines may append at once.

    Args:
        storage: see `open_storage`.
        first_rung: epochs before the first pruning.
        direction: `maximize` or `minimize`; creates the study if it does not exist.
        seed: of the sampler.

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
        first_rung: epochs before the first pruning.
        monitor: the metric.
    """

    def __init__(self, file: str, trial: int, first_rung: int = 1, monitor: str = 'val/mIoU') -> None:
        self.file = Path(file)
        self.number = trial
        self.first_rung = first_rung
        self.monitor = monitor

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the metric after an epoch; only the first process speaks to the study."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        stops = trainer.is_global_zero and self._report(trainer)
        if trainer.strategy.broadcast(stops):
            trainer.should_stop = True

    def _report(self, trainer: Trainer) -> bool:
        """Report the metric, and return whether to end the run."""
        storage = open_storage(self.file)
        study = open_study(storage, self.first_rung)
        number = storage.get_trial_id_from_study_id_trial_number(storage.get_study_id_from_name(STUDY), self.number)
        trial, epoch = optuna_package().trial.Trial(study, number), trainer.current_epoch + 1
        if epoch not in study.trials[self.number].intermediate_values:  # a resumed run may validate an epoch again
            trial.report(float(trainer.callback_metrics[self.monitor]), epoch)
        if not trial.should_prune():
            return False
        trial.set_user_attr(PRUNED, True)
        say(labelled('Pruned', f'after epoch {epoch}, by when other trials were better'))
        return True
