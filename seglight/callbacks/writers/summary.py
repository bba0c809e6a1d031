"""Skip images that are already predicted, and summarise a prediction run."""

from __future__ import annotations

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.array_types import UInt8Array
from seglight.batch import Failure
from seglight.callbacks.processes import gathered
from seglight.callbacks.writers.base import RESUME, PredictionWriter, predict_dataset
from seglight.counting import counted
from seglight.data.images import read_image
from seglight.data.value_range import ValueRange, range_of
from seglight.errors import say
from seglight.files import write_atomically, writing_to
from seglight.histogram import histogram
from seglight.host_copy import HostCopy, shared_copy
from seglight.models.inference.logits import Prediction
from seglight.palette import default_palette, overlay
from seglight.pictures import contact_sheet, encode_jpeg
from seglight.terminal import cell_width, padded
from seglight.trainer_callbacks import callbacks_of

#: Number of images on a contact sheet, its columns, and the side of each square in pixels.
SHEET, COLUMNS, SIDE = 16, 4, 240


class SkipDone(Callback):
    """Predicts only the images that at least one of the writers has not written yet.

    This callback must come after the `PredictionWriter`s. Needs a `SegmentationDataModule`; does nothing for others.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Remove the images that are done from the data."""
        dataset = predict_dataset(trainer)
        if stage != 'predict' or dataset is None:
            return
        writers = [callback for callback in callbacks_of(trainer) if isinstance(callback, PredictionWriter)]
        names = dataset.all_names = dataset.samples.texts('names')
        left = (index for index, name in enumerate(names) if not all(writer.is_done(name) for writer in writers))
        dataset.samples = dataset.samples.take(left)
        trainer.strategy.barrier('resume')  # before the first file of this run is written
        if trainer.is_global_zero:
            done = len(names) - len(dataset.samples)
            say(f'{done} of {len(names)} images are already predicted')


class PredictionSummary(Callback):
    """Counts pixels of each class, images and unreadable files, and draws a contact sheet of the first images.

    Needs the same predictions and batches as a `PredictionWriter`; batches may list unreadable files under `failed`.

    Args:
        folder: the folder of `contact_sheet.jpg`.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        #: skipped images; at the end, those of all processes, on rank 0
        self.failed: list[Failure] = []
        self.count = 0  #: number of predicted images; at the end, of all processes
        self._pixels = torch.zeros(256, dtype=torch.int64)
        self._seconds = 0.0
        self._start = 0.0
        self._pool: ThreadPoolExecutor | None = None
        self._tiles: list[Future[UInt8Array]] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=type(self).__name__)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: list[Prediction],
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count the images of a batch, and report unreadable files at once."""
        for failure in batch.get('failed', []):
            self.failed.append(failure)
            print(f'seglight: {failure.message}', file=sys.stderr, flush=True)
        for predicted, meta in zip(outputs, batch['meta'], strict=True):
            if self._pool is not None and len(self._tiles) < SHEET and trainer.is_global_zero:
                palette = getattr(pl_module, 'palette', None) or default_palette(256)
                arguments = Path(meta['path']), range_of(trainer), shared_copy(predicted.mask), palette
                self._tiles.append(self._pool.submit(_tile, *arguments))
        if outputs:
            labels = torch.cat([predicted.mask.flatten() for predicted in outputs])
            self._pixels = self._pixels.to(labels.device) + histogram(labels, 256)
        self.count += len(batch['meta'])
        self._seconds = time.monotonic() - self._start
        bar: Any = trainer.progress_bar_callback
        if hasattr(bar, 'predict_progress_bar'):
            bar.predict_progress_bar.set_postfix_str(f'{self.count / self._seconds:.1f} images/s')

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum the counts of all processes; only rank 0 keeps the list of failures."""
        pixels_here = self._pixels.tolist()  # waits for the device
        self._seconds = time.monotonic() - self._start
        parts = gathered((self.failed, self.count, pixels_here, self._seconds))
        failed, counts, pixels, seconds = zip(*parts, strict=True)
        self.failed = [failure for each in failed for failure in each] if trainer.is_global_zero else []
        self.count = sum(counts)
        self._pixels = torch.tensor(pixels).sum(0)
        self._seconds = max(seconds)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the contact sheet."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
        if self._tiles:
            with writing_to(self.folder, RESUME):
                sheet = contact_sheet([tile.result() for tile in self._tiles], COLUMNS)
                write_atomically(self.folder / 'contact_sheet.jpg', encode_jpeg(sheet))

    def lines(self, classes: list[str]) -> list[str]:
        """Return the share of each class, the number of images, and the speed."""
        total = max(1, int(self._pixels.sum()))
        width = max(cell_width(name) for name in classes)
        counts = self._pixels[: len(classes)].tolist()
        shares = [
            f'  {padded(name, width)}  {100 * n / total:6.2f} %' for name, n in zip(classes, counts, strict=True) if n
        ]
        speed = f', {self.count / self._seconds:.1f} images/s' if self._seconds else ''
        return [*shares, f'{counted(self.count, "image")} predicted{speed}']


def _tile(path: Path, value_range: ValueRange | None, copy: HostCopy, palette: list[list[int]]) -> UInt8Array:
    """Return an image with an overlay of its mask, fitted into a white square."""
    image, mask = read_image(path, value_range), copy.array()
    height, width = mask.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    tile = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    tile[: size[1], : size[0]] = overlay(small.astype(np.uint8), labels, palette)
    return tile
