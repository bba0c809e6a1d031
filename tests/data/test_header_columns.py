"""Headers are read by one thread, or by several if it has to wait for the files."""

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
