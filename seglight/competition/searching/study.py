"""The trials of a search: which to run next, and what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from seglight.competition.searching.space import Space, words_of
from seglight.errors import UsageError
from seglight.run_lock import RunLock
from seglight.studies import PRUNED, Unit, open_storage, open_study, optuna_package

#: The journal of Optuna in the folder, and the lock for the moment between counting trials and starting one.
JOURNAL, LOCK = 'study.journal', '.next_trial.lock'


@dataclass(frozen=True)
class Trial:
    """A trial.

    Attributes:
        number: from 0.
        state: `complete`, `pruned`, `failed` or `running`.
        words: the value of each key, as on a command line.
        values: the metric of each validation, by its epoch or step.
        best: the best of them; None if none is a number.
    """

    number: int
    state: str
    words: dict[str, str]
    values: dict[int, float]
    best: float | None

    @property
    def name(self) -> str:
        """The name of its folder, counted from 1."""
        return name_of(self.number)


def name_of(number: int) -> str:
    """Return the name of a trial by its number, from 0."""
    return f'trial{number + 1}'


class Study:
    """The study in the folder of a search, shared by all processes that run its trials.

    Args:
        folder: the folder.
        space: of the search.
        unit: what its trials count.
        minimize: whether lower values are better.
        seed: of the sampler.
    """

    def __init__(self, folder: Path, space: Space, unit: Unit, minimize: bool, seed: int) -> None:
        self.folder = folder
        self.space = space
        self.unit = unit
        self.minimize = minimize
        self.seed = seed

    @property
    def journal(self) -> Path:
        """The file of Optuna."""
        return self.folder / JOURNAL

    @cached_property
    def _study(self) -> Any:
        """Optuna's study; its sampler has another seed in each process that joins."""
        direction = 'minimize' if self.minimize else 'maximize'
        storage = open_storage(self.journal)
        known = open_study(storage, direction)
        return open_study(storage, direction, self.seed + len(known.trials))

    @contextmanager
    def next_trial(self, trials: int) -> Iterator[Trial | None]:
        """Yield a trial to run, which is this process's until the block ends; None if there is none left.

        A trial whose process was killed goes on first: the operating system has released its lock.

        Args:
            trials: number of all trials.
        """
        with FileLock(self.folder / LOCK):
            self._fail_unasked()
            found = self._abandoned() or self._new(trials)
        if found is None:
            yield None
            return
        trial, lock = found
        try:
            yield trial
        finally:
            lock.release()

    def _fail_unasked(self) -> None:
        """Let the trials fail whose process was killed while Optuna stored their values."""
        for each in self._study.get_trials(deepcopy=False):
            if each.state.name == 'RUNNING' and not self._is_asked(each):
                self._fail(each.number)

    def _is_asked(self, stored: Any) -> bool:
        """Return whether a trial has a value for each key."""
        return set(self.space) <= set(stored.params)

    def _abandoned(self) -> tuple[Trial, RunLock] | None:
        """Return a running trial that no process runs, and its lock."""
        for trial in self.trials():
            if trial.state == 'running':
                lock = self._lock(trial)
                try:
                    lock.acquire()
                except UsageError:  # another process runs it
                    continue
                return trial, lock
        return None

    def _new(self, trials: int) -> tuple[Trial, RunLock] | None:
        """Return a new trial with values from the sampler, unless there are enough."""
        if len(self.trials()) >= trials:
            return None
        distributions = {key: each.distribution() for key, each in self.space.items()}
        asked = self._study.ask(distributions)
        trial = next(each for each in self.trials() if each.number == asked.number)
        lock = self._lock(trial)
        lock.acquire()
        return trial, lock

    def _lock(self, trial: Trial) -> RunLock:
        return RunLock(self.folder, trial.name, use='runs it')

    def finish(self, trial: Trial) -> None:
        """Store the result of a trial whose run has ended: pruned, or the best value of its validations.

        Raises:
            UsageError: if it was never validated, or the metric was never a number.
        """
        stored = self._stored(trial.number)
        best, run = self._best(stored.intermediate_values), self.folder / trial.name
        if not stored.intermediate_values:
            raise UsageError(f'{run} was never validated; a search needs a metric of val')
        if best is None:
            raise UsageError(f'{run} had no number as its metric in any validation, only NaN; search other values')
        pruned = bool(stored.user_attrs.get(PRUNED))
        states = optuna_package().trial.TrialState
        if pruned:
            self._study.tell(trial.number, state=states.PRUNED, skip_if_finished=True)
        else:
            self._study.tell(trial.number, best, skip_if_finished=True)

    def fail(self, trial: Trial) -> None:
        """Store that a run has failed."""
        self._fail(trial.number)

    def _fail(self, number: int) -> None:
        self._study.tell(number, state=optuna_package().trial.TrialState.FAIL, skip_if_finished=True)

    def trials(self) -> list[Trial]:
        """Return all trials in order, without those that have no values for their keys."""
        return [self._trial(each) for each in self._study.get_trials(deepcopy=False) if self._is_asked(each)]

    def _stored(self, number: int) -> Any:
        return self._study.get_trials(deepcopy=False)[number]

    def _trial(self, stored: Any) -> Trial:
        state = {'FAIL': 'failed', 'WAITING': 'running'}.get(stored.state.name, stored.state.name.lower())
        values = {int(done): float(value) for done, value in sorted(stored.intermediate_values.items())}
        return Trial(stored.number, state, words_of(stored.params, self.space), values, self._best(values))

    def _best(self, values: dict[int, float]) -> float | None:
        """Return the best of the values; NaN is worse than any number."""
        numbers = [value for value in values.values() if not math.isnan(value)]
        return (min if self.minimize else max)(numbers, default=None)

    def best(self) -> Trial | None:
        """Return the best trial that was not pruned; None without one."""
        complete = [each for each in self.trials() if each.state == 'complete' and each.best is not None]
        sign = -1 if self.minimize else 1
        return max(complete, key=lambda trial: sign * (trial.best or 0.0), default=None)

    def importances(self) -> dict[str, float]:
        """Return how much each key explains of the variance of complete trials, from 0 to 1 (fANOVA).

        Empty with fewer than two keys or complete trials, or if all have the same value.
        """
        complete = [each for each in self.trials() if each.state == 'complete']
        if len(complete) < 2 or len({each.best for each in complete}) < 2 or len(self.space) < 2:
            return {}
        evaluator = optuna_package().importance.FanovaImportanceEvaluator(seed=self.seed)
        found = optuna_package().importance.get_param_importances(self._study, evaluator=evaluator)
        return {key: float(value) for key, value in found.items()}

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the table of trials: its head, and rows of name, state, best value, length, and values of the keys."""
        rows = [
            [
                trial.name,
                trial.state,
                '-' if trial.best is None else f'{trial.best:.4f}',
                str(max(trial.values, default=0)),
                *(trial.words[key] for key in self.space),
            ]
            for trial in self.trials()
        ]
        return ['trial', 'state', 'best', f'{self.unit}s', *self.space], rows
