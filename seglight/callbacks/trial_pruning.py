"""Reporting a run to a study of Optuna, which ends it early if it is worse than the others."""

from __future__ import annotations

import math
from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.console import labelled
from seglight.errors import say
from seglight.steps import planned_steps
from seglight.studies import PRUNED, STUDY, Unit, open_storage, open_study, optuna_package

#: Parts of a run before the first rung.
RUNGS = 9


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
