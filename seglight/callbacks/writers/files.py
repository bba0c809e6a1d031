"""Write predictions to files, one for each image."""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from seglight.array_types import UInt8Array
from seglight.callbacks.writers.base import Kept, PredictionWriter, all_names
from seglight.callbacks.writers.numbering import Numbers, encode_numbered, numbers_of_classes
from seglight.counting import counted
from seglight.data.images import read_image
from seglight.data.sources.paths import paths_below
from seglight.data.value_range import ValueRange, range_of
from seglight.errors import OutputError, UsageError, warn
from seglight.files import write_atomically
from seglight.models.inference.logits import Prediction
from seglight.names import clash, path_below
from seglight.palette import overlay
from seglight.pictures import encode_jpeg


class FileWriter(PredictionWriter):
    """Writes a file for each image, `{folder}/{name}{suffix}`, atomically."""

    suffix = ''

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the folder, unless a path in it would have to be both a file and a folder.

        Raises:
            OutputError: names the two images.
        """
        clashing = clash(all_names(trainer), self.suffix) if stage == 'predict' else None
        if clashing:
            raise OutputError(
                f"{self.path(clashing[0])} would be the file of image '{clashing[0]}' and the folder of "
                f"'{clashing[1]}'; rename one of them"
            )
        super().setup(trainer, pl_module, stage)

    def finish(self, trainer: Trainer) -> None:
        """Warn about files of other images, which an archive of the folder would contain."""
        names = all_names(trainer)
        if not trainer.is_global_zero or not names:
            return
        own = {f'{name}{self.suffix}' for name in names}
        others = [path for path in paths_below(self.folder) if path.endswith(self.suffix) and path not in own]
        if others:
            warn(f'{self.folder} also has {counted(len(others), "file")} of other images, such as {min(others)}')

    def path(self, name: str) -> Path:
        """Return the file of an image.

        Raises:
            OutputError: if it would be outside the folder.
        """
        return path_below(self.folder, name, self.suffix)

    def is_done(self, name: str) -> bool:
        """Return whether the file of an image exists."""
        return self.is_current(self.path(name))

    def write(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> None:
        """Write the file of one image."""
        write_atomically(self.path(meta['name']), self.encode(mask, probabilities, meta))

    @abstractmethod
    def encode(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> bytes:
        """Return the content of the file."""


class MaskWriter(FileWriter):
    """Writes an indexed PNG for each image, whose pixel values are the labels.

    Args:
        folder: gets `{name}.png`.
        palette: an RGB colour in 0 to 255 for each class; by default the module's `palette`.
        labels: the pixel value of each class, 0 to 255, if a benchmark numbers its classes differently; a single
            number is the value of the first class, and the other classes follow.

    Raises:
        UsageError: if a label is outside 0 to 255.
    """

    suffix = '.png'

    def __init__(self, folder: str | Path, palette: list[list[int]] | None = None, labels: Numbers = None) -> None:
        super().__init__(folder)
        self.palette = palette
        self.labels = labels
        self.numbers: Sequence[int] | None = None  #: of all classes; `setup` knows them
        if labels is not None and not all(0 <= label <= 255 for label in np.atleast_1d(labels)):
            raise UsageError(f'--mask-labels must be 0 to 255, got {labels}')

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compute the label of each class.

        Raises:
            UsageError: if there is not one label for each class.
        """
        if stage == 'predict':
            self.numbers = numbers_of_classes(self.labels, pl_module)
        super().setup(trainer, pl_module, stage)

    def encode(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> bytes:
        """Return the PNG."""
        return encode_numbered(mask, self.palette or [], self.numbers)


class OverlayWriter(FileWriter):
    """Writes each image with an overlay of its mask in colour, as a JPEG.

    Args:
        folder: gets `{name}.jpg`.
        palette: an RGB colour in 0 to 255 for each class; by default the module's `palette`.
        opacity: opacity of the overlay, 0 to 1.
    """

    suffix = '.jpg'

    def __init__(self, folder: str | Path, palette: list[list[int]] | None = None, opacity: float = 0.5) -> None:
        super().__init__(folder)
        self.palette = palette
        self.opacity = opacity
        self._value_range: ValueRange | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the value range of the images."""
        super().setup(trainer, pl_module, stage)
        self._value_range = range_of(trainer)

    def encode(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> bytes:
        """Return the JPEG."""
        drawn = overlay(read_image(Path(meta['path']), self._value_range), mask, self.palette or [], self.opacity)
        return encode_jpeg(drawn)


class ProbabilityWriter(FileWriter):
    """Writes the class probabilities of each image as `.npz` with one array, `probabilities` `[C, H, W]`.

    The module must be a `seglight.models.Segmentor`.

    Args:
        folder: gets `{name}.npz`.
        quantize: write uint8 (the probability times 255), compressed, instead of uncompressed float16.
    """

    suffix = '.npz'
    needs_probabilities = True

    def __init__(self, folder: str | Path, quantize: bool = False) -> None:
        super().__init__(folder)
        self.quantize = quantize

    def kept_probabilities(self, predicted: Prediction) -> Tensor | None:
        """Return the probabilities `[C, H, W]` as they are written: float16, or uint8."""
        exact = super().kept_probabilities(predicted)
        if exact is None:
            return None
        return (exact * 255).round_().to(torch.uint8) if self.quantize else exact.half()

    def encode(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> bytes:
        """Return the archive."""
        if probabilities is None:
            raise UsageError('probabilities were not kept')
        buffer = io.BytesIO()
        save = np.savez_compressed if self.quantize else np.savez
        save(buffer, probabilities=probabilities)
        return buffer.getvalue()
