"""Skip images that are already predicted, and summarise a prediction run."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.array_types import UInt8Array
from seglight.batch import Failure
from seglight.callbacks.processes import gathered
from seglight.callbacks.writers.files import RESUME, PredictionWriter, predict_dataset
from seglight.counting import counted
from seglight.data.images import read_image
from seglight.data.value_range import range_of
from seglight.files import write_atomically, writing_to
from seglight.models.inference.logits import Prediction
from seglight.palette import default_palette, overlay
from seglight.pictures import contact_sheet, encode_jpeg
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
        samples = list(dataset.samples)
        dataset.all_names = [sample.name for sample in samples]
        dataset.samples = [each for each in samples if not all(writer.is_done(each.name) for writer in writers)]
        trainer.strategy.barrier('resume')  # before the first file of this run is written
        if trainer.is_global_zero:
            done = len(samples) - len(dataset.samples)
            print(f'{done} of {len(samples)} images are already predicted')


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
        self._tiles: list[UInt8Array] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.monotonic()

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
            self._pixels += torch.bincount(predicted.mask.flatten(), minlength=256).cpu()
            if len(self._tiles) < SHEET and trainer.is_global_zero:
                palette = getattr(pl_module, 'palette', None) or default_palette(256)
                image = read_image(Path(meta['path']), range_of(trainer))
                self._tiles.append(_tile(image, predicted.mask.cpu().numpy(), palette))
        self.count += len(batch['meta'])
        self._seconds = time.monotonic() - self._start
        bar: Any = trainer.progress_bar_callback
        if hasattr(bar, 'predict_progress_bar'):
            bar.predict_progress_bar.set_postfix_str(f'{self.count / self._seconds:.1f} images/s')

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sum the counts of all processes; only rank 0 keeps the list of failures."""
        parts = gathered((self.failed, self.count, self._pixels.tolist(), self._seconds))
        failed, counts, pixels, seconds = zip(*parts, strict=True)
        self.failed = [failure for each in failed for failure in each] if trainer.is_global_zero else []
        self.count = sum(counts)
        self._pixels = torch.tensor(pixels).sum(0)
        self._seconds = max(seconds)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the contact sheet."""
        if self._tiles:
            with writing_to(self.folder, RESUME):
                sheet = contact_sheet(self._tiles, COLUMNS)
                write_atomically(self.folder / 'contact_sheet.jpg', encode_jpeg(sheet))

    def lines(self, classes: list[str]) -> list[str]:
        """Return the share of each class, the number of images, and the speed."""
        total = max(1, int(self._pixels.sum()))
        width = max(len(name) for name in classes)
        counts = self._pixels[: len(classes)].tolist()
        shares = [f'  {name:<{width}}  {100 * n / total:6.2f} %' for name, n in zip(classes, counts, strict=True) if n]
        speed = f', {self.count / self._seconds:.1f} images/s' if self._seconds else ''
        return [*shares, f'{counted(self.count, "image")} predicted{speed}']


def _tile(image: UInt8Array, mask: UInt8Array, palette: list[list[int]]) -> UInt8Array:
    """Return an image with an overlay of its mask, fitted into a white square."""
    height, width = mask.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    labels = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    tile = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    tile[: size[1], : size[0]] = overlay(small.astype(np.uint8), labels, palette)
    return tile
