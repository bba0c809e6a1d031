"""The LightningDataModule over folders of images and masks."""

from __future__ import annotations

import os
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.overrides.distributed import UnrepeatedDistributedSampler
from torch.utils.data import DataLoader

from seglight.data.batch import Item, collate
from seglight.data.dataset import SegmentationDataset, size_mismatch
from seglight.data.demo import demo_folder
from seglight.data.folders import find_images, find_pairs
from seglight.data.images import image_size
from seglight.data.resuming import ResumableSampler
from seglight.data.transforms import build_pipeline
from seglight.errors import ConfigError, DataError

Transforms = list[dict[str, Any]]

CHECKED_MASKS = 1000  #: masks of a split that are decoded before training


class SegmentationDataModule(LightningDataModule):
    """Loads `{root}/{img_dir}/{train,val,test}` and `{root}/{ann_dir}/{train,val}`.

    Args:
        classes: names of the classes; label i of a mask is class i.
        palette: an RGB colour in 0 to 255 for each class; generated where not given.
        root: folder of the data set; without it a small one is generated (see `seglight.data.demo`).
        img_dir: folder of the images below `root`.
        ann_dir: folder of the masks below `root`.
        train: folder below `img_dir` and `ann_dir` to train on.
        val: folder below `img_dir` and `ann_dir` to validate and test on.
        test: folder below `img_dir` to predict; needs no masks.
        train_transforms: albumentations for images and masks in training.
        val_transforms: albumentations for images in validation, test and predict, that keep the
            whole image in view (resizing, colours); masks are compared at their own size.
        batch_size: images in a batch.
        num_workers: loader processes; None for one less than the cores, at most 8.
        ignore_index: label of pixels that do not count.
        seed: of order and augmentations; the command line sets it to `seed_everything`.
    """

    def __init__(
        self,
        classes: list[str],
        palette: list[list[int]] | None = None,
        root: str | None = None,
        img_dir: str = 'img_dir',
        ann_dir: str = 'ann_dir',
        train: str = 'train',
        val: str = 'val',
        test: str = 'test',
        train_transforms: Transforms | None = None,
        val_transforms: Transforms | None = None,
        batch_size: int = 8,
        num_workers: int | None = None,
        ignore_index: int = 255,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if palette is not None and len(palette) != len(classes):
            message = f'data.palette has {len(palette)} colours for the {len(classes)} names in data.classes'
            raise ConfigError(f'{message}; give one for each, or null to have them generated', ('data', 'palette'))
        for name, value, least, most in (
            ('batch_size', batch_size, 1, None),
            ('num_workers', num_workers, 0, None),
            ('ignore_index', ignore_index, 0, 255),
        ):
            if value is not None and (value < least or (most is not None and value > most)):
                bound = f'at least {least}' if most is None else f'{least} to {most}'
                raise ConfigError(f'data.{name} is {bound}, not {value}', ('data', name))
        self.classes = classes
        self.palette = palette
        self.root = root
        self.folders = {'train': train, 'val': val, 'test': test}
        self.img_dir = img_dir
        self.ann_dir = ann_dir
        self.batch_size = batch_size
        self.num_workers = _default_workers() if num_workers is None else num_workers
        self.ignore_index = ignore_index
        self.seed = seed
        self._train_transforms = build_pipeline(train_transforms or [], 'data.train_transforms', ignore_index)
        self._val_transforms = build_pipeline(val_transforms or [], 'data.val_transforms', ignore_index)
        self.datasets: dict[str, SegmentationDataset] = {}
        self._position = {'epoch': 0, 'samples': 0}  # where training starts; Lightning asks for batches before it tells

    def prepare_data(self) -> None:
        """Generate the embedded data set where no `root` is given."""
        if self.root is None:
            demo_folder()

    def setup(self, stage: str) -> None:
        """Find the files that a stage needs and check that masks fit their images.

        Args:
            stage: `fit`, `validate`, `test` or `predict`.

        Raises:
            DataError: for a missing folder or mask, an unreadable header, or different sizes.
        """
        root = Path(self.root) if self.root is not None else demo_folder()
        wanted = {'fit': ('train', 'val'), 'validate': ('val',), 'test': ('val',), 'predict': ('test',)}[stage]
        for name in wanted:
            images = root / self.img_dir / self.folders[name]
            if name == 'test':
                samples = find_images(images)
            else:
                samples = find_pairs(images, root / self.ann_dir / self.folders[name])
            training = name == 'train'
            transforms = self._train_transforms if training else self._val_transforms
            self.datasets[name] = SegmentationDataset(
                samples, transforms, self.classes, training, self.seed, self.ignore_index
            )
            check_files(self.datasets[name])

    def state_dict(self) -> dict[str, int]:
        """Return the epoch, from 0, that training is in, and how many of its samples all processes have trained on."""
        if self.trainer is None:
            return self._position
        loop = self.trainer.fit_loop
        epochs: Any = loop.epoch_progress.current
        in_epoch: Any = loop.epoch_loop.batch_progress.current
        batches = 0 if epochs.processed == epochs.started else in_epoch.processed
        return {'epoch': epochs.processed, 'samples': batches * self.batch_size * self.trainer.world_size}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Begin training there; Lightning, which looks for a loader with a state, warns for nothing."""
        self._position = state_dict
        warnings.filterwarnings('ignore', message='You.re resuming from a checkpoint that ended before the epoch ended')

    def train_dataloader(self) -> DataLoader[Item]:
        """Return the loader of shuffled and augmented training batches; an incomplete last one is dropped."""
        dataset = self.datasets['train']
        replicas, rank = self._replicas()
        sampler = ResumableSampler(dataset, replicas, rank, shuffle=True, seed=self.seed)
        sampler.go_on(self._position['epoch'], self._position['samples'] // replicas)
        # BatchNorm cannot train on a last batch of one image.
        return self._loader(dataset, sampler=sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Item]:
        """Return the loader of validation batches, in order; no image counts twice, for any number of processes."""
        dataset = self.datasets['val']
        replicas, rank = self._replicas()
        sampler = UnrepeatedDistributedSampler(dataset, replicas, rank, shuffle=False) if replicas > 1 else None
        return self._loader(dataset, sampler=sampler)

    def test_dataloader(self) -> DataLoader[Item]:
        """Return the loader of test batches: the validation images, which have masks."""
        return self.val_dataloader()

    def predict_dataloader(self) -> DataLoader[Item]:
        """Return the loader of the images to predict, in order."""
        return self._loader(self.datasets['test'])

    def _replicas(self) -> tuple[int, int]:
        """Return the number of processes and the index of this one."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader(self, dataset: SegmentationDataset, **options: Any) -> DataLoader[Item]:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=partial(collate, ignore_index=self.ignore_index),
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_prepare_worker,
            # Its own, so that a loader leaves torch's random numbers (dropout) alone, whatever its workers.
            generator=torch.Generator().manual_seed(self.seed),
            **options,
        )


def check_files(dataset: SegmentationDataset) -> None:
    """Compare the sizes in the headers of all images and masks, and the labels of some masks with the classes.

    At most `CHECKED_MASKS` masks, spread over the data set, are decoded, so that a fault that they
    all share shows before the first step; the others are checked when they are loaded.

    Raises:
        DataError: names the first file that is unreadable or does not fit.
    """
    samples = [sample for sample in dataset.samples if sample.mask is not None]
    for sample in samples:
        if sample.mask is not None:
            image, mask = image_size(sample.image), image_size(sample.mask)
            if image != mask:
                raise DataError(size_mismatch(sample, image, mask))
    step = -(-len(samples) // CHECKED_MASKS) or 1
    with ThreadPoolExecutor(_cores()) as pool:
        for _ in pool.map(dataset.read_labels, samples[::step]):
            pass


def _default_workers() -> int:
    """Return one less than the cores this process may use, between 1 and 8."""
    return max(1, min(8, _cores() - 1))


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def _prepare_worker(_worker: int) -> None:
    """Keep OpenCV's threads from competing with other workers, and signals to the main process, which ends workers."""
    cv2.setNumThreads(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
