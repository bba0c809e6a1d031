"""Trials that several processes share."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seglight.callbacks.trial_pruning import TrialPruning
from seglight.competition.searching.space import Choice, Range
from seglight.competition.searching.study import Study

optuna = pytest.importorskip('optuna')
pytestmark = pytest.mark.extras

SPACE: dict[str, Range | Choice] = {
    'model.optimizer.lr': Range(1e-4, 1e-2, log=True),
    'data.batch_size': Choice(['2', '4']),
}


def study(folder: Path, minimize: bool = False) -> Study:
    """A study as a process opens it."""
    return Study(folder, SPACE, 1, minimize, 42)


def validate(each: Study, number: int, *values: float) -> bool:
    """Report the metric of the first epochs of a run, and return whether it is ended."""
    trainer: Any = SimpleNamespace(
        sanity_checking=False, is_global_zero=True, should_stop=False, strategy=SimpleNamespace(broadcast=bool)
    )
    callback = TrialPruning(str(each.journal), number, each.first_rung, 'val/mIoU')
    for epoch, value in enumerate(values):
        trainer.callback_metrics, trainer.current_epoch = {'val/mIoU': value}, epoch
        callback.on_validation_end(trainer, SimpleNamespace())  # type: ignore[arg-type]
    return bool(trainer.should_stop)


def test_processes_run_different_trials_and_stop_at_the_same_number(tmp_path: Path) -> None:
    first, second = study(tmp_path), study(tmp_path)
    with first.next_trial(2) as a, second.next_trial(2) as b, first.next_trial(2) as none:
        assert a and b and none is None
        assert (a.name, b.name) == ('trial1', 'trial2')
        assert a.words != b.words
        validate(first, a.number, 0.2, 0.4, 0.3)
        first.finish(a)
        second.fail(b)
    assert [(each.state, each.best) for each in second.trials()] == [('complete', 0.4), ('failed', None)]
    best = second.best()
    assert best and best.name == 'trial1'
    with second.next_trial(2) as none:
        assert none is None


def hold(folder: Path, ready: Any) -> None:
    with study(folder).next_trial(5) as trial:
        assert trial
        ready.send(trial.words)
        signal.pause()


def test_a_trial_whose_process_was_killed_goes_on_with_its_values(tmp_path: Path) -> None:
    context = multiprocessing.get_context('fork')
    here, there = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, there))
    process.start()
    words = here.recv()
    with study(tmp_path).next_trial(5) as other:
        assert other and other.name == 'trial2'  # the first is in use
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    with study(tmp_path).next_trial(5) as again:
        assert again and again.name == 'trial1'
        assert again.words == words


def test_worse_trials_are_ended(tmp_path: Path) -> None:
    each = study(tmp_path)
    for values, ended in [((0.5,), False), ((0.1,), True), ((0.6,), False), ((0.55,), True), ((0.7, 0.8, 0.9), False)]:
        with each.next_trial(5) as trial:
            assert trial
            # Optuna's rule for a reduction of three: the best third of those that came so far, or the first.
            assert validate(each, trial.number, *values) == ended
            each.finish(trial)
    assert [trial.state for trial in each.trials()] == ['complete', 'pruned', 'complete', 'pruned', 'complete']
    stored = optuna.load_study(
        study_name='sweep',
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(each.journal))),
    )
    assert stored.best_value == 0.9
    assert stored.best_trial.number == 4


def test_a_lower_loss_is_better(tmp_path: Path) -> None:
    each = study(tmp_path, minimize=True)
    for values in [(0.5, 0.4), (0.3, 0.6)]:
        with each.next_trial(2) as trial:
            assert trial
            validate(each, trial.number, *values)
            each.finish(trial)
    best = each.best()
    assert best and best.best == 0.3


def test_importance_is_that_of_the_key_which_decides(tmp_path: Path) -> None:
    each = Study(tmp_path, SPACE, 99, False, 42)  # prunes nothing before epoch 99
    for _ in range(12):
        with each.next_trial(12) as trial:
            assert trial
            assert not validate(
                each,
                trial.number,
                float(trial.words['data.batch_size']) / 10 + float(trial.words['model.optimizer.lr']),
            )
            each.finish(trial)
    found = each.importances()
    assert found['data.batch_size'] > 0.95
    assert sum(found.values()) == pytest.approx(1)
