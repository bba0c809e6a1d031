"""The plot of the schedule and the table of parameter groups in a run's folder."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Result
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from seglight.callbacks.training_plan import draw_schedule
from seglight.models.schedules import MmcvSchedule, find_updater


def curve(picture: bytes) -> list[int]:
    """The row of the curve in some columns of the picture, from left to right."""
    pixels = np.array(Image.open(io.BytesIO(picture)).convert('RGB')).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 80
    rows = [np.flatnonzero(blue[:, column]) for column in range(0, blue.shape[1], 20)]
    return [int(found.mean()) for found in rows if len(found)]


def test_the_plot_shows_the_rate_of_every_step_and_changes_nothing() -> None:
    layer = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    warmup = {'warmup': 'linear', 'warmup_iters': 300, 'warmup_ratio': 0.1}
    schedule = MmcvSchedule(optimizer, find_updater({'policy': 'poly', 'power': 1.0, **warmup}), 1000, 10)
    before = optimizer.param_groups[0]['lr']
    rows = curve(draw_schedule(schedule, layer))
    assert optimizer.param_groups[0]['lr'] == before
    top = rows.index(min(rows))
    assert 0.2 < top / len(rows) < 0.4  # it rises during the first 300 of 1000 steps
    assert rows[:top] == sorted(rows[:top], reverse=True)
    assert rows[top:] == sorted(rows[top:])


def test_a_long_schedule_is_subsampled() -> None:
    layer = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    schedule = MmcvSchedule(optimizer, find_updater({'policy': 'fixed'}), 160_000, 1000)
    rows = curve(draw_schedule(schedule, layer, points=50))
    assert len(set(rows)) == 1


@pytest.mark.parametrize(
    ('rates', 'named'), [([0.1, 0.1], None), ([0.1, 0.2], ['1 tensor: 0.weight', '2 tensors: 1.weight, ...'])]
)
def test_a_legend_names_the_parameters_of_each_rate(
    rates: list[float], named: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: drawn.append(figure))
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1))
    groups = [{'params': list(layer.parameters()), 'lr': rate} for layer, rate in zip(model, rates, strict=True)]
    schedule = MmcvSchedule(torch.optim.SGD(groups), find_updater({'policy': 'poly'}), 10, 5)
    draw_schedule(schedule, model)
    legends = drawn[0].legends
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends] == ([named] if named else [])


def test_the_default_rate_and_likely_mistakes_are_reported(tiny_config: Path, run: Callable[..., Result]) -> None:
    flags = ['--model.optimizer={_delete_: true, type: Adam}', '--trainer.max_steps=1', '--trainer.max_epochs=-1']
    flags += ['--model.schedule.warmup=linear', '--model.schedule.warmup_iters=9']
    done = run('fit', '--config', tiny_config, *flags)
    assert done.status == 0, done.err
    assert 'Training   Adam, learning rate 0.001, 1 step, ' in done.out
    assert 'seglight: warning: model.schedule: the warm-up of 9 steps does not end in a run of 1\n' in done.err
