"""Loader processes: how many there are, how they behave, and how they end."""

from __future__ import annotations

import signal
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from seglight.data.batch import Item
from seglight.environment import cores

MOST_WORKERS = 8  #: by default, of each training process


def default_workers(processes: int) -> int:
    """Return the number of loader processes for each of so many training processes, which need a core themselves."""
    return max(1, min(MOST_WORKERS, cores() // processes - 1))


def make_loader(dataset: Dataset[Any], batch_size: int, workers: int, seed: int, **options: Any) -> DataLoader[Item]:
    """Return a loader whose processes live on from epoch to epoch.

    Args:
        dataset: what is loaded.
        batch_size: samples in a batch.
        workers: number of loader processes.
        seed: of torch's random numbers in them, of which the samples of this project take none.
        options: further arguments of torch's `DataLoader`.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_prepare_worker,
        # Its own, so that a loader leaves torch's random numbers (dropout) alone, whatever its workers.
        generator=torch.Generator().manual_seed(seed),
        **options,
    )


def end_workers(loader: DataLoader[Any]) -> None:
    """End the processes of a loader, if there are any."""
    workers: Any = getattr(loader, '_iterator', None)
    if hasattr(workers, '_shutdown_workers'):
        workers._shutdown_workers()


def _prepare_worker(_worker: int) -> None:
    """Keep OpenCV's threads from competing with other workers, and signals to the main process, which ends workers."""
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
