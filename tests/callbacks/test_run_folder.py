"""The logs of a run without W&B."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from seglight.report.run import read_curves


def test_tensorboard_reads_the_figures_of_the_csv_file(trained: Path) -> None:
    written = EventAccumulator(str(trained / 'tensorboard')).Reload()
    curves = read_curves(trained / 'metrics.csv')
    assert {'train/loss', 'lr-SGD', 'val/mIoU', 'val/IoU.Battery'} <= set(written.Tags()['scalars'])
    for name, curve in curves.items():
        events = {event.step: event.value for event in written.Scalars(name)}
        assert {step: pytest.approx(value, rel=1e-5) for step, value in curve} == {
            step: events[step] for step, _ in curve
        }
