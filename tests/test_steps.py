"""Steps, epochs and positions of a run, counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pytorch_lightning.callbacks import GradientAccumulationScheduler

from seglight.errors import ConfigError, UsageError
from seglight.steps import (
    accumulated_batches,
    counts_steps,
    epoch_is_cut,
    is_last_epoch,
    planned_steps,
    resumes,
    steps_before,
    steps_of_an_epoch,
)


def trainer(batches: float = 7, accumulate: int = 1, **options: Any) -> Any:
    """What the counting reads of a trainer."""
    options = {'max_epochs': 3, 'max_steps': -1, 'callbacks': [], 'ckpt_path': None, 'estimated': 99, **options}
    estimated = options.pop('estimated')
    return SimpleNamespace(
        accumulate_grad_batches=accumulate,
        num_training_batches=batches,
        estimated_stepping_batches=estimated,
        **options,
    )


def test_the_last_batches_of_an_epoch_make_a_step() -> None:
    assert planned_steps(trainer(7, 3)) == 9  # 3 + 3 + 1 batches, three times
    assert steps_of_an_epoch(trainer(7, 3), by_epoch=True) == 3
    assert [steps_before(trainer(7, 3), epoch) for epoch in range(4)] == [0, 3, 6, 9]
    assert [steps_before(trainer(7, 3), 1, batches) for batches in (0, 2, 3, 6)] == [3, 3, 4, 5]


def test_epochs_may_accumulate_different_numbers_of_batches() -> None:
    run = trainer(7, callbacks=[GradientAccumulationScheduler({0: 1, 1: 2, 2: 4})])
    assert [accumulated_batches(run, epoch) for epoch in range(4)] == [1, 2, 4, 4]
    assert planned_steps(run) == 7 + 4 + 2
    assert steps_before(run, 2, 4) == 7 + 4 + 1
    assert steps_of_an_epoch(run, by_epoch=False) == 7
    with pytest.raises(ConfigError, match='must count steps'):
        steps_of_an_epoch(run, by_epoch=True)


def test_max_steps_ends_a_run_earlier() -> None:
    assert planned_steps(trainer(7, max_steps=10)) == 10
    assert planned_steps(trainer(7, max_steps=100)) == 21
    assert planned_steps(trainer(7, max_steps=100, max_epochs=-1, estimated=100)) == 100
    assert steps_of_an_epoch(trainer(7, max_steps=5), by_epoch=True) == 5
    assert counts_steps(trainer(max_steps=5))
    assert not counts_steps(trainer())


def test_a_run_without_end_has_no_planned_steps() -> None:
    with pytest.raises(UsageError, match=r'set --trainer.max_epochs or --trainer.max_steps'):
        planned_steps(trainer(max_epochs=-1, estimated=float('inf')))


def in_epoch(done: int, started: int, processed: int, last: bool, batches: int = 7) -> Any:
    """A trainer whose loops have counted so far."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=done), is_last_batch=last)
    epochs = SimpleNamespace(current=SimpleNamespace(started=started, processed=processed))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress), epoch_progress=epochs)
    return trainer(batches, fit_loop=loop, should_stop=False, global_step=0)


@pytest.mark.parametrize(
    ('done', 'started', 'processed', 'last', 'cut'),
    [
        (7, 1, 1, True, False),  # a whole epoch
        (3, 1, 1, False, True),  # ended by `max_steps`
        (3, 1, 0, False, False),  # inside the epoch
        (0, 1, 1, False, False),  # before the first batch
    ],
)
def test_an_epoch_is_cut_if_it_ended_before_its_last_batch(
    done: int, started: int, processed: int, last: bool, cut: bool
) -> None:
    assert epoch_is_cut(in_epoch(done, started, processed, last)) is cut


def test_the_last_epoch_is_the_last_by_number_by_steps_or_by_a_stop() -> None:
    run = in_epoch(7, 2, 2, True)
    assert not is_last_epoch(run)
    run.should_stop = True
    assert is_last_epoch(run)
    assert is_last_epoch(in_epoch(7, 3, 3, True))
    run.should_stop, run.max_steps, run.global_step = False, 14, 14
    assert is_last_epoch(run)


@pytest.mark.parametrize(
    ('path', 'resumed'), [(None, False), ('a/epoch_1.ckpt', True), ('a/.lr_find_ab.ckpt', False), ('', False)]
)
def test_a_run_resumes_from_a_checkpoint_that_no_finder_wrote(path: str | None, resumed: bool) -> None:
    assert resumes(trainer(ckpt_path=path)) is resumed
    assert not resumes(None)
