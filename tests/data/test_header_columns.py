"""Headers are read by one thread, by several if it has to wait for the files, and by processes if they are many."""

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from seglight.data.header_columns import Header, read_headers
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Samples


def fast(sample: Sample) -> Header:
    return Header(None, image_bytes=int(sample.name))


def slow(sample: Sample) -> Header:
    time.sleep(0.0005)
    return fast(sample)


@pytest.mark.parametrize('read', [fast, slow])
def test_only_waiting_takes_several_threads(read: Callable[[Sample], Header], monkeypatch: pytest.MonkeyPatch) -> None:
    if read is fast:  # other processes do not make this one wait
        monkeypatch.setattr('seglight.data.header_columns.time.perf_counter', time.thread_time)
    threads = set()

    def noted(sample: Sample) -> Header:
        threads.add(threading.get_ident())
        return read(sample)

    samples = Samples.of([Sample(Path(f'{index}.jpg'), str(index), None) for index in range(3000)])
    assert read_headers(samples, noted).image_bytes.tolist() == list(range(3000))
    assert threading.get_ident() in threads
    assert (len(threads) > 1) == (read is slow)


def test_many_are_read_by_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.data.header_columns._PER_PROCESS', 1000)
    monkeypatch.setattr('seglight.data.header_columns.cores', lambda: 3)

    def noted(sample: Sample) -> Header:
        number = int(sample.name)
        if number % 1500 == 7:
            return Header(f'{number} {os.getpid()}')
        return Header(None, number % 2 == 1, number % 3 == 0, number)

    samples = Samples.of([Sample(Path(f'{index}.jpg'), str(index), None) for index in range(3500)])
    found = read_headers(samples, noted)
    bad = [7, 1507, 3007]
    numbers, processes = zip(*(fault.split() for fault in found.faults.values()), strict=True)
    assert list(found.faults) == [int(number) for number in numbers] == bad
    assert len(set(processes)) == (3 if sys.platform == 'linux' else 1)
    sound = [number for number in range(3500) if number not in bad]
    assert found.image_bytes[sound].tolist() == sound
    assert found.may_be_plain[sound].tolist() == [bool(number % 2) for number in sound]
    assert found.may_be_cut_off[sound].tolist() == [number % 3 == 0 for number in sound]
