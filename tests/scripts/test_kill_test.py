"""Runs that are killed at random moments end like one that was not."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'kill_test.py'


@pytest.mark.slow
def test_twenty_killed_runs_end_like_one_that_was_left_alone() -> None:
    done = subprocess.run([sys.executable, SCRIPT, '--kills', '20'], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.rsplit(maxsplit=2)[1:] for line in done.stdout.splitlines()[-5:]]
    assert rows == [['4', '4']] * 5
