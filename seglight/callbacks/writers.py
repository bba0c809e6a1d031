"""Writing predictions to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from seglight.data.images import read_image
from seglight.errors import ConfigError
from seglight.files import write_atomically
from seglight.models.inference import Prediction
from seglight.palette import default_palette, encode_mask, overlay


class MaskWriter(BasePredictionWriter):
    """Writes one indexed PNG per image, batch by batch, and overlays on request.

    The predictions are a list of uint8 `[H, W]`, the batch has `meta` with the `path` and
    the `name` of each image (its path below the image folder, without suffix).

    Args:
        folder: gets `masks/{name}.png` and `overlays/{name}.jpg`.
        palette: an RGB colour in 0 to 255 for each class; by default the module's `palette`.
        overlays: whether to write overlays.
    """

    def __init__(self, folder: str | Path, palette: list[list[int]] | None = None, overlays: bool = False) -> None:
        super().__init__(write_interval='batch')
        self.folder = Path(folder)
        self.palette = palette
        self.overlays = overlays
        self.written = 0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the folder, before anything is predicted.

        Raises:
            ConfigError: if it cannot be made.
        """
        try:
            (self.folder / 'masks').mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f'The folder {self.folder} for masks cannot be made: {error.strerror}') from error

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: list[Prediction],
        batch_indices: Sequence[int] | None,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the masks of one batch; a file is there whole or not at all."""
        palette = self.palette or getattr(pl_module, 'palette', None) or default_palette(256)
        for predicted, meta in zip(prediction, batch['meta'], strict=True):
            labels = predicted.mask.cpu().numpy()
            name = meta['name']
            write_atomically(self.folder / 'masks' / f'{name}.png', encode_mask(labels, palette))
            if self.overlays:
                drawn = overlay(read_image(Path(meta['path'])), labels, palette)
                _, data = cv2.imencode('.jpg', cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
                write_atomically(self.folder / 'overlays' / f'{name}.jpg', data.tobytes())
            self.written += 1
