"""Runs of random settings that are stopped at random points end like runs that were left alone."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from resume_trials import IMPOSSIBLE, SETTINGS, STOPS, Combination, draw, found_by, prepare

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'resume_trials.py'

PLAIN = {name: next(iter(values)) for name, values in SETTINGS.items()}


@pytest.mark.parametrize(
    ('settings', 'stops'),
    [
        ({'averaging': 'late EMA', 'accumulation': 'scheduler', 'checkpoint': '1 step'}, [('SIGKILL in a step', 6)]),
        ({'length': 'steps', 'early stopping': 'mIoU', 'mixes': 'CutMix'}, [('max_steps', 5), ('max_time', 7)]),
    ],
)
def test_a_stopped_run_ends_like_one_left_alone(
    settings: dict[str, str], stops: list[tuple[str, int]], tmp_path: Path
) -> None:
    assert found_by(Combination({**PLAIN, **settings}, stops), prepare(tmp_path), tmp_path) == []


def test_every_setting_and_every_stop_is_drawn() -> None:
    drawn = [draw(random.Random(number)) for number in range(300)]
    assert {stop for combination in drawn for stop, _ in combination.stops} == set(STOPS)
    for name, values in SETTINGS.items():
        assert {combination.settings[name] for combination in drawn} == set(values)
    assert not any(wrong.items() <= each.settings.items() for each in drawn for wrong in IMPOSSIBLE)


@pytest.mark.slow
def test_some_combinations() -> None:
    done = subprocess.run([sys.executable, SCRIPT, '--trials', '5', '--seed', '11'], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
