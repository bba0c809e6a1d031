"""Loader processes: their number, set-up and end."""

from __future__ import annotations

import atexit
import signal
from functools import partial
from typing import Any
from weakref import WeakSet

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from seglight.batch import Item
from seglight.cores import cores
from seglight.counting import counted
from seglight.data.prefetching import PrefetchingLoader
from seglight.data.sending import SHARED_MEMORY, Sent, all_shared, free_shared_memory
from seglight.errors import ConfigError, warn

MAX_WORKERS = 8  #: default maximum for each training process

#: Bytes of shared memory that loader processes need besides batches, for semaphores and counters.
MIN_SHARED = 2**20

_loaders: WeakSet[DataLoader[Any]] = WeakSet()  #: whose processes must end before Python exits


def default_workers(processes: int, batches: int) -> int:
    """Return the default number of loader processes for each training process, which needs a core itself.

    Args:
        processes: number of training processes.
        batches: number of batches that each of them loads; a loader process makes whole batches.
    """
    return max(1, min(MAX_WORKERS, cores() // processes - 1, batches))


def possible_workers(workers: int) -> int:
    """Return the number of loader processes; 0, with a warning, if shared memory is full."""
    if not workers or (all_shared() and free_shared_memory() >= MIN_SHARED):
        return workers
    warn(
        f'{SHARED_MEMORY} is full: loading in the training process, like data.num_workers: 0; free it, or in a '
        'container, increase it with --shm-size'
    )
    return 0


def check_enough_images(name: str, count: int, processes: int) -> None:
    """Check that each process gets a batch of evaluation; otherwise Lightning would wait for it forever.

    Args:
        name: of the split.
        count: number of images; 0 is valid.
        processes: number of processes.

    Raises:
        ConfigError: if there are fewer images than processes.
    """
    if 0 < count < processes:
        images = f'data.{name} has {counted(count, "image")}'
        message = f'{images}, fewer than the {processes} processes, each of which needs one'
        raise ConfigError('trainer.devices', f'{message}; set --trainer.devices={count}, on one machine')


def make_loader(
    dataset: Dataset[Any],
    batch_size: int,
    workers: int,
    seed: int,
    in_run: bool = False,
    device: torch.device | None = None,
    prefetch: bool = False,
    **options: Any,
) -> DataLoader[Item]:
    """Return a loader whose processes persist between epochs.

    Args:
        dataset: the samples.
        batch_size: samples in a batch.
        workers: number of loader processes.
        seed: of torch's random numbers in the processes; seglight's samples use none of them.
        in_run: whether a trainer ends the processes, which then ignore signals.
        device: where the batches are used; for a GPU they are pinned in memory, so that copying them does not wait.
        prefetch: whether to copy the next batch to a GPU while the current one is in use.
        options: further arguments of torch's `DataLoader`.
    """
    if workers:
        options['collate_fn'] = Sent(options['collate_fn'])
    on_gpu = device is not None and device.type == 'cuda'
    loader = PrefetchingLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=on_gpu,
        worker_init_fn=partial(_prepare_worker, in_run),
        # A separate generator, so that loading does not change torch's global random state (dropout).
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
    loader.device = device if on_gpu and prefetch else None
    _loaders.add(loader)
    return loader


@atexit.register
def _end_all_workers() -> None:
    """End all loader processes when a script ends; if Python terminated them, torch would report an error."""
    for loader in list(_loaders):
        end_workers(loader)


def end_workers(loader: DataLoader[Any]) -> None:
    """End the processes of a loader, if it has any."""
    workers: Any = getattr(loader, '_iterator', None)
    if hasattr(workers, '_shutdown_workers'):
        workers._shutdown_workers()


def _prepare_worker(in_run: bool, _worker: int) -> None:
    """Turn off OpenCV's threads, and in a run ignore signals, since the main process ends the workers.

    Outside a run, Python ends them with SIGTERM when the script is done.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if in_run else signal.SIG_DFL)
