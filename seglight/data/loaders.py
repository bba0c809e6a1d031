"""Loader processes: how many there are, how they behave, and how they end."""

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
from seglight.data.sending import SHARED_MEMORY, Sent, free_shared_memory
from seglight.environment import cores
from seglight.errors import warn

MOST_WORKERS = 8  #: by default, of each training process

#: Bytes of shared memory that loader processes need beside batches, for semaphores and counters.
LEAST_SHARED = 2**20

_loaders: WeakSet[DataLoader[Any]] = WeakSet()  #: whose processes the end of Python has to end


def default_workers(processes: int) -> int:
    """Return the number of loader processes for each of so many training processes, which need a core themselves."""
    return max(1, min(MOST_WORKERS, cores() // processes - 1))


def possible_workers(workers: int) -> int:
    """Return the number of loader processes, 0 with a warning where shared memory has no room for what they share."""
    if not workers or free_shared_memory() >= LEAST_SHARED:
        return workers
    warn(f'{SHARED_MEMORY} is full: loads in the training process, as data.num_workers: 0 does; free it, or give a '
         'container more by --shm-size')  # fmt: skip
    return 0


def make_loader(
    dataset: Dataset[Any], batch_size: int, workers: int, seed: int, in_run: bool = False, **options: Any
) -> DataLoader[Item]:
    """Return a loader whose processes live on from epoch to epoch.

    Args:
        dataset: what is loaded.
        batch_size: samples in a batch.
        workers: number of loader processes.
        seed: of torch's random numbers in them, of which the samples of this project take none.
        in_run: whether a trainer ends the processes, which then leave signals to it.
        options: further arguments of torch's `DataLoader`.
    """
    if workers:
        options['collate_fn'] = Sent(options['collate_fn'])
    loader: DataLoader[Item] = DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=partial(_prepare_worker, in_run),
        # Its own, so that a loader leaves torch's random numbers (dropout) alone, whatever its workers.
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
    _loaders.add(loader)
    return loader


@atexit.register
def _end_all_workers() -> None:
    """End the processes of all loaders when a script ends; Python would terminate them, for which torch complains."""
    for loader in list(_loaders):
        end_workers(loader)


def end_workers(loader: DataLoader[Any]) -> None:
    """End the processes of a loader, if there are any."""
    workers: Any = getattr(loader, '_iterator', None)
    if hasattr(workers, '_shutdown_workers'):
        workers._shutdown_workers()


def _prepare_worker(in_run: bool, _worker: int) -> None:
    """Keep OpenCV's threads from competing with other workers; in a run, the main process ends workers, not signals.

    Elsewhere Python itself ends them by SIGTERM when a script is done.
    """
    cv2.setNumThreads(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if in_run else signal.SIG_DFL)
