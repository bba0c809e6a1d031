"""Loader processes: how they end, and how their batches come."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import random_batch
from data.in_worker import first, handlers
from torch.utils.data import DataLoader

from seglight.data import loaders
from seglight.data.loaders import make_loader, possible_workers
from seglight.data.sending import Sent, in_shared_memory

CLASSES = 12  #: of the data set of the tests

SCRIPT = """
import sys
from seglight.data import SegmentationDataModule
data = SegmentationDataModule(CLASSES, root=sys.argv[1], batch_size=2, num_workers=2)
data.setup('fit')
loaders = [data.train_dataloader(), data.val_dataloader()]
batches = [batch['image'].shape[0] for loader in loaders for batch in loader]
print(sum(batches))
"""


def test_a_script_that_loads_with_processes_comes_to_its_end(data_root: Path) -> None:
    script = SCRIPT.replace('CLASSES', repr(list(map(str, range(CLASSES)))))
    done = subprocess.run([sys.executable, '-c', script, data_root], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ['12']), done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('free', [0, 10**9], ids=['pipes', 'shared memory'])
def test_batches_are_the_same_whatever_way_they_come(free: int, capfd: pytest.CaptureFixture[str]) -> None:
    batches: list[Any] = [random_batch(seed=seed) for seed in range(3)]
    for batch in batches:
        batch['padding'] = batch['mask'] > 2
    loader = make_loader(batches, 1, 1, 0, collate_fn=partial(first, free))  # type: ignore[arg-type]
    for own, other in zip(batches, loader, strict=True):
        for name in ('image', 'mask', 'padding'):
            assert torch.equal(own[name], other[name])
            assert own[name].stride() == other[name].stride()
            assert other[name].is_shared() == (free > 0)
        assert own['meta'] == other['meta']
    err = capfd.readouterr().err
    assert ('/dev/shm is too small for batches' in err) == (free == 0)
    assert err.count('data.num_workers: 0') == (free == 0)


def test_in_the_main_process_a_batch_is_as_it_was_made() -> None:
    batch: Any = random_batch()
    assert Sent(lambda _: batch)([]) is batch


def test_no_process_is_started_where_shared_memory_is_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(loaders, 'free_shared_memory', lambda: 4096)
    assert possible_workers(2) == 0
    assert '/dev/shm is full: loading in the training process' in capsys.readouterr().err


def test_a_run_without_any_shared_memory_loads_in_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError('unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)')

    monkeypatch.setattr(sending, '_SHARED', [])
    assert in_shared_memory(torch.zeros(())).is_shared()
    assert possible_workers(2) == 2
    monkeypatch.setattr(torch.Tensor, 'share_memory_', full)
    assert in_shared_memory(torch.ones(())) == 1
    assert possible_workers(2) == 0  # even if there is room again: workers would not see the epoch


def test_processes_of_a_run_leave_signals_to_it(data_root: Path) -> None:
    for in_run, names in ((True, ['SIG_IGN', 'SIG_IGN']), (False, ['SIG_IGN', 'SIG_DFL'])):
        loader: DataLoader[Any] = make_loader([0], 1, 1, 0, in_run, collate_fn=handlers)  # type: ignore[arg-type]
        assert [batch['names'] for batch in loader] == [names]
