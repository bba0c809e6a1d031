"""Loader processes: how they end, and how their batches come."""

import gc
import subprocess
import sys
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from conftest import random_batch
from data.in_worker import first, handlers, trainers
from lightning_fabric.utilities.apply_func import move_data_to_device
from torch.utils.data import DataLoader

from seglight.data import SegmentationDataModule, loaders, sending
from seglight.data.loaders import default_workers, make_loader, possible_workers
from seglight.data.prefetching import PrefetchingLoader
from seglight.data.sending import Sent, in_shared_memory
from seglight.errors import collected_warnings

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
    # A hang is to fail, a busy machine is not: spawned processes import everything, together up to a minute of CPU time.
    done = subprocess.run([sys.executable, '-c', script, data_root], capture_output=True, text=True, timeout=900)
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


def test_samples_that_are_left_out_are_warnings(own_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_data / 'img_dir/train/0001.jpg').write_text('text')
    data = SegmentationDataModule(list(map(str, range(CLASSES))), root=str(own_data), on_bad_sample='skip')
    with collected_warnings() as warnings:
        data.setup('fit')
    assert ['0001.jpg' in line for line in warnings if line.startswith('left out: ')] == [True]
    assert capsys.readouterr().err == ''


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


def test_a_spawned_process_imports_nothing_that_only_a_trainer_needs(data_root: Path) -> None:
    """Each of them imports everything anew; Lightning and torchmetrics would take a third of that time."""
    data = SegmentationDataModule(list(map(str, range(CLASSES))), root=str(data_root), batch_size=8, num_workers=0)
    data.setup('fit')
    loader = make_loader(data.train_dataloader().dataset, 8, 1, 0, collate_fn=trainers, multiprocessing_context='spawn')
    assert [batch['names'] for batch in cast(Any, loader)] == [[]]


@pytest.mark.parametrize(
    ('cores', 'processes', 'batches', 'workers'),
    [(16, 1, 100, 8), (4, 1, 100, 3), (4, 2, 100, 1), (1, 1, 100, 1), (16, 1, 3, 3), (16, 1, 0, 1)],
)
def test_the_default_number_of_processes_follows_cores_and_batches(
    cores: int, processes: int, batches: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaders, 'cores', lambda: cores)
    assert default_workers(processes, batches) == workers


def test_no_more_processes_start_than_there_are_batches(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, 'cores', lambda: 16)
    data = SegmentationDataModule(list(map(str, range(CLASSES))), root=str(data_root), batch_size=4)
    data.setup('fit')
    assert data.train_dataloader().num_workers == 2  # 8 images
    assert cast(DataLoader[Any], data.val_dataloader()).num_workers == 1  # 4 images


@pytest.mark.parametrize('prefetch', [False, True])
@pytest.mark.parametrize('device', [None, 'cpu', 'cuda'])
def test_only_batches_for_a_gpu_are_pinned_and_copied_ahead(device: str | None, prefetch: bool) -> None:
    where = None if device is None else torch.device(device)
    loader: Any = make_loader([0], 1, 0, 0, device=where, prefetch=prefetch, collate_fn=list)  # type: ignore[arg-type]
    assert loader.pin_memory == (device == 'cuda')
    assert loader.device == (where if device == 'cuda' and prefetch else None)


def test_the_data_module_passes_the_device_of_the_trainer(data_root: Path) -> None:
    data = SegmentationDataModule(
        list(map(str, range(CLASSES))), root=str(data_root), num_workers=0, prefetch_to_device=True
    )
    for device in (torch.device('cpu'), torch.device('cuda', 1)):
        strategy = SimpleNamespace(root_device=device)
        state = SimpleNamespace(status=None)
        data.trainer = cast(Any, SimpleNamespace(strategy=strategy, state=state, world_size=1, global_rank=0))
        data.setup('validate')
        loader = cast(PrefetchingLoader, data.val_dataloader())
        assert loader.device == (device if device.type == 'cuda' else None)
        assert loader.pin_memory == (device.type == 'cuda')


def test_every_tensor_of_a_batch_is_copied_to_a_device_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning's own function, which it calls for each batch; torch has no pinned memory here to copy from."""
    waited: list[bool] = []

    def copied(tensor: torch.Tensor, device: torch.device, non_blocking: bool = False) -> torch.Tensor:
        waited.append(not non_blocking)
        return tensor.new_empty(tensor.shape, device=device)

    batch: Any = random_batch()
    batch['padding'] = batch['mask'] > 2
    batch['draws'] = [[(0, {'factor': 1.5})]] * len(batch['meta'])
    monkeypatch.setattr(torch.Tensor, 'to', copied)
    moved = move_data_to_device(batch, torch.device('meta'))
    assert waited == [False] * 3
    assert [moved[name].device.type for name in ('image', 'mask', 'padding')] == ['meta'] * 3
    assert (moved['meta'], moved['draws']) == (batch['meta'], batch['draws'])


def test_a_loader_that_is_no_longer_used_ends_its_processes(data_root: Path) -> None:
    data = SegmentationDataModule([str(index) for index in range(11)], root=str(data_root), num_workers=1)
    data.setup('validate')
    loader = data.val_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = batches._workers  # type: ignore[attr-defined]
    kept = weakref.ref(loader)
    del batches, loader
    gc.collect()
    assert kept() is None
    worker.join(20)
    assert not worker.is_alive()
