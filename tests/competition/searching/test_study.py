"""Trials that several processes share."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seglight.callbacks.trial_pruning import TrialPruning
from seglight.competition.searching.page import write_page
from seglight.competition.searching.space import Choice, Range
from seglight.competition.searching.study import Study
from seglight.errors import UsageError

optuna = pytest.importorskip('optuna')
pytestmark = pytest.mark.extras

SPACE: dict[str, Range | Choice] = {
    'model.optimizer.lr': Range(1e-4, 1e-2, log=True),
    'data.batch_size': Choice(['2', '4']),
}


def study(folder: Path, minimize: bool = False) -> Study:
    """A study as a process opens it."""
    return Study(folder, SPACE, 'epoch', minimize, 42)


def run_of(**options: Any) -> Any:
    """What the callback reads of a trainer: by default of a run of 9 epochs."""
    length = {'max_epochs': 9, 'max_steps': -1, 'num_training_batches': 7, 'estimated_stepping_batches': 63, **options}
    return SimpleNamespace(
        **length,
        accumulate_grad_batches=1,
        callbacks=[],
        strategy=SimpleNamespace(broadcast=bool),
        sanity_checking=False,
        is_global_zero=True,
        should_stop=False,
    )


def report(each: Study, number: int, trainer: Any, value: float, **position: int) -> bool:
    """Report the metric at a position of a run, and return whether the run is ended."""
    trainer.callback_metrics = {'val/mIoU': value}
    vars(trainer).update(position)
    callback = TrialPruning(str(each.journal), number, each.unit, 'val/mIoU')
    callback.on_validation_end(trainer, SimpleNamespace())  # type: ignore[arg-type]
    return bool(trainer.should_stop)


def validate(each: Study, number: int, *values: float, epochs: int = 9) -> bool:
    """Report the metric of the first epochs of a run, until it is ended, and return whether it is."""
    trainer = run_of(max_epochs=epochs)
    return any(report(each, number, trainer, value, current_epoch=epoch) for epoch, value in enumerate(values))


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


def test_a_trial_whose_process_was_killed_before_it_had_values_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(optuna.storages.JournalStorage, 'set_trial_param', killed)
        with pytest.raises(KeyboardInterrupt), study(tmp_path).next_trial(1):
            pass
    each = study(tmp_path)
    with each.next_trial(1) as trial:
        assert trial and trial.words.keys() == SPACE.keys()
        validate(each, trial.number, 0.3)
        each.finish(trial)
    with each.next_trial(1) as none:
        assert none is None
    assert [trial.state for trial in each.trials()] == ['complete']
    assert [row[0] for row in each.table()[1]] == [trial.name]
    assert 'trial2' in write_page(tmp_path / 'sweep.html', each, 'mIoU').read_text()


@pytest.mark.parametrize(('minimize', 'best'), [(False, 0.5), (True, 0.4)])
def test_a_nan_is_worse_than_any_number(tmp_path: Path, minimize: bool, best: float) -> None:
    each = study(tmp_path, minimize)
    with each.next_trial(1) as trial:
        assert trial
        assert not validate(each, trial.number, math.nan, 0.5, 0.4, epochs=18)
        each.finish(trial)
    assert [(trial.state, trial.best) for trial in each.trials()] == [('complete', best)]
    page = write_page(tmp_path / 'sweep.html', each, 'mIoU').read_text()
    assert '>nan' not in page


def test_a_trial_whose_metric_is_never_a_number_has_failed(tmp_path: Path) -> None:
    each = study(tmp_path)
    with each.next_trial(1) as trial:
        assert trial
        assert validate(each, trial.number, math.nan)  # at a rung
        with pytest.raises(UsageError, match='trial1 had no number as its metric in any validation, only NaN'):
            each.finish(trial)
        each.fail(trial)
    assert [(trial.state, trial.best) for trial in each.trials()] == [('failed', None)]


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


def test_a_trial_that_ran_to_its_end_is_complete(tmp_path: Path) -> None:
    each = study(tmp_path)
    for values in [(0.1, 0.2, 0.30), (0.5, 0.6, 0.25)]:  # at the end, which is a rung, the second is the worse
        with each.next_trial(2) as trial:
            assert trial
            assert not validate(each, trial.number, *values, epochs=3)
            each.finish(trial)
    assert [(trial.state, trial.best) for trial in each.trials()] == [('complete', 0.3), ('complete', 0.6)]


def test_a_trial_is_complete_after_its_last_validation(tmp_path: Path) -> None:
    each = study(tmp_path)
    for values in [(0.1, 0.2, 0.30), (0.5, 0.6, 0.25)]:
        trainer = run_of(max_epochs=10)  # validated after 3, 6 and 9 epochs; 3 and 9 are rungs
        with each.next_trial(2) as trial:
            assert trial
            for epoch, value in zip((2, 5, 8), values, strict=True):
                assert not report(each, trial.number, trainer, value, current_epoch=epoch)
            each.finish(trial)
    assert [(trial.state, trial.best) for trial in each.trials()] == [('complete', 0.3), ('complete', 0.6)]


def test_every_validation_within_an_epoch_counts(tmp_path: Path) -> None:
    each = Study(tmp_path, SPACE, 'step', False, 42)
    trainer = run_of(max_epochs=-1, max_steps=40_000, estimated_stepping_batches=40_000)
    trainer.current_epoch = 0
    with each.next_trial(1) as trial:
        assert trial
        for steps, value in [(4000, 0.2), (8000, 0.6), (12_000, 0.4)]:
            assert not report(each, trial.number, trainer, value, global_step=steps)
        each.finish(trial)
    assert each.trials()[0].values == {4000: 0.2, 8000: 0.6, 12_000: 0.4}
    assert each.trials()[0].best == 0.6
    head, rows = each.table()
    assert (head[3], rows[0][2:4]) == ('steps', ['0.6000', '12000'])


@pytest.mark.parametrize(
    ('length', 'interval', 'ended'),
    [
        ({'max_epochs': -1, 'max_steps': 40_000, 'estimated_stepping_batches': 40_000}, 1000, 5000),
        ({'max_epochs': 20, 'num_training_batches': 450}, 100, 1000),  # 9000 steps
        ({'max_epochs': -1, 'max_steps': 40_000, 'estimated_stepping_batches': 40_000}, 8000, 8000),  # none is earlier
        ({'max_epochs': -1, 'estimated_stepping_batches': float('inf')}, 100, 100),  # ended by the clock
    ],
)
def test_the_first_rung_is_a_ninth_of_the_run(
    tmp_path: Path, length: dict[str, Any], interval: int, ended: int
) -> None:
    each = Study(tmp_path, SPACE, 'step', False, 42)
    last = 0
    for value in (0.5, 0.1):
        trainer = run_of(**length, current_epoch=0)
        with each.next_trial(2) as trial:
            assert trial
            for last in range(interval, 9001, interval):
                if report(each, trial.number, trainer, value, global_step=last):
                    break
            each.finish(trial)
    assert last == ended


def test_a_resumed_run_keeps_to_what_it_was_told(tmp_path: Path) -> None:
    each = study(tmp_path)
    with each.next_trial(2) as first, each.next_trial(2) as second:
        assert first and second
        assert not validate(each, first.number, 0.5)
        assert validate(each, second.number, 0.1)
        assert not validate(each, first.number, 0.5)
        assert validate(each, second.number, 0.1)  # it was killed before its last checkpoint


def test_another_run_with_the_config_of_a_trial_changes_nothing(tmp_path: Path) -> None:
    each = study(tmp_path)
    for values in ((0.5, 0.6), (0.1,)):
        with each.next_trial(2) as trial:
            assert trial
            validate(each, trial.number, *values)
            each.finish(trial)
    before = each.trials()
    assert [trial.state for trial in before] == ['complete', 'pruned']
    for trial in before:
        assert not validate(each, trial.number, 0.1, 0.2, 0.3)
    assert each.trials() == before


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
    each = study(tmp_path)
    for _ in range(12):
        with each.next_trial(12) as trial:
            assert trial
            assert not validate(
                each,
                trial.number,
                float(trial.words['data.batch_size']) / 10 + float(trial.words['model.optimizer.lr']),
                epochs=99,  # nothing is pruned before epoch 11
            )
            each.finish(trial)
    found = each.importances()
    assert found['data.batch_size'] > 0.95
    assert sum(found.values()) == pytest.approx(1)
