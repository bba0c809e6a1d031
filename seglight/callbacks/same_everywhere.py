"""Refuse processes on several machines that have different versions of packages, or see different images."""

from __future__ import annotations

import os
import socket
from importlib.metadata import version
from typing import Any, NamedTuple

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.processes import gathered
from seglight.counting import counted
from seglight.errors import DataError, UsageError
from seglight.noted_images import checksum

#: Packages that must have one version in all processes.
PACKAGES = ('seglight', 'torch', 'pytorch-lightning')


class Process(NamedTuple):
    """What a process has.

    Attributes:
        where: its rank and its machine, for messages.
        versions: of `PACKAGES`.
        images: the number of images of each split, and a checksum of their names.
        checkpoint: from which it starts; None to start from the beginning.
    """

    where: str
    versions: dict[str, str]
    images: dict[str, tuple[int, str]]
    checkpoint: str | None = None


class SameEverywhere(Callback):
    """Compares versions of packages, lists of images and checkpoints between all processes before the first batch.

    Otherwise a process with other images would train or count on those, and every process would wait for one that
    fails or starts elsewhere. Compares images for a data module with `datasets`, like `SegmentationDataModule`.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compare all processes.

        Raises:
            UsageError: on every process, if versions or checkpoints differ.
            DataError: on every process, if lists of images differ.
        """
        if trainer.world_size > 1:
            check(gathered(described(trainer)))


def described(trainer: Trainer) -> Process:
    """Return what this process has."""
    datasets: dict[str, Any] = getattr(getattr(trainer, 'datamodule', None), 'datasets', {})
    images = {
        name: (len(dataset.samples), checksum(f'{sample.name}{sample.image.suffix}' for sample in dataset.samples))
        for name, dataset in datasets.items()
    }
    where = f'rank {trainer.global_rank} on {socket.gethostname()} (process {os.getpid()})'
    checkpoint = None if trainer.ckpt_path is None else str(trainer.ckpt_path)
    return Process(where, {name: version(name) for name in PACKAGES}, images, checkpoint)


def check(processes: list[Process]) -> None:
    """Compare processes with the first one.

    Raises:
        UsageError: if versions or checkpoints differ.
        DataError: if lists of images differ.
    """
    first, *others = processes
    for other in others:
        for name, own in first.versions.items():
            if other.versions[name] != own:
                raise UsageError(
                    f'{first.where} has {name} {own}, and {other.where} has {other.versions[name]}; '
                    'install the same version on both'
                )
        if other.checkpoint != first.checkpoint:
            starts = [f'{each.where} from {each.checkpoint or "the beginning"}' for each in (first, other)]
            raise UsageError(
                f'{starts[0]}, and {starts[1]}: all processes must start from the same checkpoint; '
                'all machines must see the same work_dirs'
            )
        for name, (count, names) in first.images.items():
            found, other_names = other.images.get(name, (0, ''))
            if (found, other_names) != (count, names):
                number = counted(found, 'image') if found != count else 'other images'
                raise DataError(
                    f'{first.where} finds {counted(count, "image")} of data.{name}, and {other.where} {number}; '
                    'all machines must see the same files'
                )
