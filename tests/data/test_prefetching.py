"""Copying ahead to a device: order, streams and errors, with a stand-in for the streams of a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from seglight.data.prefetching import Prefetched, PrefetchingLoader

CPU = torch.device('cpu')


class FakeStreams:
    """The part of `torch.cuda` that is used; `done` lists what happens in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.active = 'main'

    def Stream(self, device: torch.device) -> FakeStream:
        assert device == CPU
        return FakeStream('side', self)

    def current_stream(self, device: torch.device) -> FakeStream:
        assert device == CPU
        return FakeStream(self.active, self)

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        self.active = stream.name
        yield
        self.active = 'main'


class FakeStream:
    """A stream that reports what waits for it."""

    def __init__(self, name: str, streams: FakeStreams) -> None:
        self.name, self.streams = name, streams

    def wait_stream(self, other: FakeStream) -> None:
        self.streams.done.append(f'{self.name} waits for {other.name}')


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> FakeStreams:
    fake = FakeStreams()

    def move(batch: Any, device: torch.device) -> Any:
        assert device == CPU
        fake.done.append(f'copy {int(batch["image"])} on {fake.active}')
        return batch

    def record(tensor: Tensor, stream: FakeStream) -> None:
        fake.done.append(f'{stream.name} uses {int(tensor)}')

    monkeypatch.setattr('lightning_fabric.utilities.apply_func.move_data_to_device', move)
    monkeypatch.setattr(Tensor, 'record_stream', record)
    return fake


def numbered(count: int) -> Iterator[dict[str, Any]]:
    return ({'image': torch.tensor(number), 'meta': [{'name': str(number)}]} for number in range(count))


def test_each_batch_is_copied_on_the_side_while_the_one_before_is_in_use(streams: FakeStreams) -> None:
    for batch in Prefetched(numbered(3), CPU, streams):
        streams.done.append(f'compute {int(batch["image"])}')
    assert streams.done == [
        'copy 0 on side',
        'main waits for side', 'main uses 0', 'copy 1 on side', 'compute 0',
        'main waits for side', 'main uses 1', 'copy 2 on side', 'compute 1',
        'main waits for side', 'main uses 2', 'compute 2',
    ]  # fmt: skip


@pytest.mark.parametrize('count', [0, 1, 2, 5])
def test_batches_and_their_order_are_the_loaders(count: int, streams: FakeStreams) -> None:
    names = [batch['meta'][0]['name'] for batch in Prefetched(numbered(count), CPU, streams)]
    assert names == [str(number) for number in range(count)]


def test_an_error_is_raised_when_its_batch_is_due(streams: FakeStreams) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from numbered(2)
        raise OSError('unreadable')

    batches = Prefetched(broken(), CPU, streams)
    assert [int(next(batches)['image']) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match='unreadable'):
        next(batches)


def test_a_loader_without_a_device_is_torchs_own() -> None:
    loader = PrefetchingLoader([1, 2, 3], batch_size=2)  # type: ignore[arg-type]
    assert type(iter(loader)) is type(iter(DataLoader([1, 2, 3])))  # type: ignore[arg-type]
    assert [batch.tolist() for batch in loader] == [[1, 2], [3]]


def test_a_loader_starts_again_in_each_epoch(streams: FakeStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, 'get_device_module', lambda _: streams)
    loader = PrefetchingLoader([{'image': number} for number in range(3)], batch_size=1)  # type: ignore[arg-type]
    loader.device = CPU
    for _ in range(2):
        assert [int(batch['image']) for batch in loader] == [0, 1, 2]
    assert streams.done.count('copy 2 on side') == 2
