"""The memory of a process."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from seglight import process_memory
from seglight.process_memory import available_bytes, peak_bytes, reset_peak

linux = pytest.mark.skipif(sys.platform != 'linux', reason='only Linux tells it')


#: A process of its own: in that of earlier tests, freed memory may be kept, so that an array needs no more.
PEAK = """
import numpy as np
from seglight.process_memory import peak_bytes, reset_peak
reset_peak()
before = peak_bytes()
np.ones(100_000_000, dtype=np.uint8).sum()
print(before, peak_bytes())
"""


@linux
def test_the_peak_includes_what_is_gone() -> None:
    done = subprocess.run([sys.executable, '-c', PEAK], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 0
    assert 90e6 < after - before < 110e6


@linux
def test_a_container_limits_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = available_bytes()
    assert 0 < machine < 1e14
    limit, used = tmp_path / 'limit', tmp_path / 'used'
    limit.write_text('5000\n')
    used.write_text('2000\n')
    monkeypatch.setattr(process_memory, 'GROUPS', ((limit, used), (tmp_path / 'none', used)))
    assert available_bytes() == 3000
    limit.write_text('max\n')
    assert available_bytes() > 3000


def test_elsewhere_both_are_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('STATUS', 'MACHINE', 'RESET'):
        monkeypatch.setattr(process_memory, name, tmp_path / 'none' / 'file')
    monkeypatch.setattr(process_memory, 'GROUPS', ())
    reset_peak()
    assert (peak_bytes(), available_bytes()) == (0, math.inf)
