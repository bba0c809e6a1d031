"""A run whose time is up resumes where it stopped."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compare_runs import differences
from conftest import Result

from seglight.callbacks import TimeLimit

Run = Callable[..., Result]


def one_second_a_step(patch: pytest.MonkeyPatch) -> None:
    """Let the clock of a limit go by the steps of the run."""

    def elapsed(self: Any, stage: Any = None) -> float:
        return float(self._offset or 0) if self.trainer is None else float(self.trainer.global_step)

    def started(self: Any, trainer: Any, module: Any) -> None:
        self.trainer = trainer

    patch.setattr(TimeLimit, 'trainer', None, raising=False)
    patch.setattr(TimeLimit, 'time_elapsed', elapsed)
    patch.setattr(TimeLimit, 'on_train_start', started)


def test_a_run_saved_within_an_epoch_resumes_like_an_uninterrupted_one(
    tiny_config: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ['fit', '--config', tiny_config, '--data.batch_size=2', '--trainer.max_epochs=2']
    one_second_a_step(monkeypatch)
    assert run(*command, '--trainer.max_time=00:00:01:00', '--work-dir', 'whole').status == 0
    stopped = run(*command, '--trainer.max_time=00:00:00:05', '--work-dir', 'stopped')
    assert stopped.status == 75
    assert (
        'stopped by trainer.max_time 0:00:05 after step 5; saved stopped/iter_5.ckpt, '
        'resume with --auto-resume and a larger --trainer.max_time' in stopped.err
    )
    assert torch.load('stopped/iter_5.ckpt', weights_only=True)['SegmentationDataModule']['batches'] == 1
    again = run(*command, '--trainer.max_time=00:00:00:05', '--work-dir', 'stopped', '--auto-resume')
    assert again.status == 2
    assert 'trainer.max_time is used up: stopped/iter_5.ckpt has trained for 0:00:05 of 0:00:05' in again.err
    done = run(*command, '--trainer.max_time=00:00:01:00', '--work-dir', 'stopped', '--auto-resume')
    assert done.status == 0, done.err
    assert differences(Path('whole'), Path('stopped')) == []
