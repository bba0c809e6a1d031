"""The picture of the schedule and the table of the groups in a run's folder."""

import io

import numpy as np
import torch
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


def test_the_picture_shows_the_rate_of_every_step_and_changes_nothing() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    warmup = {'warmup': 'linear', 'warmup_iters': 300, 'warmup_ratio': 0.1}
    schedule = MmcvSchedule(optimizer, find_updater({'policy': 'poly', 'power': 1.0, **warmup}), 1000, 10)
    before = optimizer.param_groups[0]['lr']
    rows = curve(draw_schedule(schedule))
    assert optimizer.param_groups[0]['lr'] == before
    top = rows.index(min(rows))
    assert 0.2 < top / len(rows) < 0.4  # it rises during the first 300 of 1000 steps
    assert rows[:top] == sorted(rows[:top], reverse=True)
    assert rows[top:] == sorted(rows[top:])


def test_a_long_schedule_is_drawn_from_some_of_its_steps() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = MmcvSchedule(optimizer, find_updater({'policy': 'fixed'}), 160_000, 1000)
    rows = curve(draw_schedule(schedule, points=50))
    assert len(set(rows)) == 1
