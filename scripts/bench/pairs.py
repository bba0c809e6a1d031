"""Compare candidates in pairs: within a round each meets the same machine, while rounds differ by a third."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from seglight.memory import keep_freed_memory


def seconds_in_turn(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
    pause: float = 0,
) -> dict[str, list[float]]:
    """Return the seconds that each way took in each round, after one that warms up.

    Args:
        ways: what is measured, by name.
        rounds: how often.
        clock: returns the seconds since some time.
        pause: seconds before each, in which the threads of the one before come to rest.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            time.sleep(pause)
            start = clock()
            way()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratios(values: Sequence[float], base: Sequence[float]) -> str:
    """Return the median and the range of the ratios of two candidates' values of the same rounds."""
    each = [value / other for value, other in zip(values, base, strict=True)]
    return f'{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})'


def process(keep_memory: bool, prepare: Callable[..., None], *arguments: Any) -> ProcessPoolExecutor:
    """Return a process of its own, with glibc's own settings or with those of seglight's command line.

    Args:
        keep_memory: whether it keeps freed memory.
        prepare: what the process calls first.
        arguments: of `prepare`.
    """
    return ProcessPoolExecutor(1, get_context('spawn'), _prepare, (keep_memory, prepare, *arguments))


def _prepare(keep_memory: bool, prepare: Callable[..., None], *arguments: Any) -> None:
    if keep_memory:
        keep_freed_memory()
    prepare(*arguments)
