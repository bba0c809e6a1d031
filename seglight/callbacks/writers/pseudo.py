"""Pseudo labels: confident predictions as masks to train on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from seglight.array_types import Float32Array, UInt8Array
from seglight.callbacks.writers.base import Kept, PredictionWriter
from seglight.callbacks.writers.files import MaskWriter
from seglight.data.places import is_member, read_bytes
from seglight.data.sources import MAX_REPEATS
from seglight.errors import UsageError
from seglight.files import link, write_atomically
from seglight.models.inference.logits import Prediction
from seglight.names import path_below
from seglight.parts import IMAGES, MASKS, PSEUDO_CONFIG, pseudo_folders


class PseudoLabelWriter(PredictionWriter):
    """Writes masks that ignore uncertain pixels, and `data.yaml`, a config that adds them to the training data.

    To train on them: `fit --config own.yaml --config {folder}/data.yaml`. The module must be a
    `seglight.models.Segmentor`.

    Args:
        folder: for `ann_dir` with the masks, `img_dir` with links to the images, and `data.yaml`.
        confidence: probability, 0 to 1, below which a pixel becomes `ignore_index`; or one for each class by its name,
            where all pixels of the other classes are ignored.
        weight: how often each image occurs in an epoch, on average.
        train: the value of `data.train` to add the masks to.

    Raises:
        UsageError: if a confidence is outside 0 to 1, or the weight is not above 0.
    """

    needs_probabilities = True

    def __init__(
        self, folder: str | Path, confidence: float | Mapping[str, float], weight: float = 1.0, train: Any = 'train'
    ) -> None:
        super().__init__(folder)
        for each in confidence.values() if isinstance(confidence, Mapping) else [confidence]:
            if not 0 <= each <= 1:
                raise UsageError(f'--pseudo-labels must be a probability from 0 to 1, got {each}')
        check_weight(weight)
        self.confidence = confidence
        self.weight = weight
        self.train = train
        self.ignore_index = 255
        #: The confidence of each label; `setup` knows those of classes.
        self.minimum = minimum_of_labels({} if isinstance(confidence, Mapping) else confidence, [])
        self.masks = MaskWriter(self.folder / MASKS)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Copy the palette, the ignored label and the labels of the classes from the module.

        Raises:
            UsageError: if the confidence names an unknown class.
        """
        super().setup(trainer, pl_module, stage)
        self.masks.palette = self.palette
        self.ignore_index = getattr(pl_module, 'ignore_index', 255)
        self.minimum = minimum_of_labels(self.confidence, getattr(pl_module, 'classes', None) or [])

    def finish(self, trainer: Trainer) -> None:
        """Write the config."""
        if trainer.is_global_zero:
            train = with_pseudo_labels(self.train, self.folder, self.weight)
            text = yaml.safe_dump({'data': {'train': train}}, sort_keys=False)
            write_atomically(self.folder / PSEUDO_CONFIG, text.encode())

    def is_done(self, name: str) -> bool:
        """Return whether the mask of an image exists."""
        return self.is_current(self.masks.path(name))

    def kept_probabilities(self, predicted: Prediction) -> Tensor | None:
        """Return the probability of each pixel's predicted class, float32 `[H, W]`."""
        return None if predicted.probabilities is None else winners(predicted.mask, predicted.probabilities)

    def write(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> None:
        """Link the image, or copy it from its archive, and write its mask."""
        if probabilities is None:
            raise UsageError('probabilities were not kept')
        image = Path(meta['path'])
        in_archive = is_member(image)
        if not in_archive:  # whose path may be an address
            image = image.resolve()
        path = path_below(self.folder / IMAGES, meta['name'], image.suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        if in_archive:
            write_atomically(path, read_bytes(image))
        # An earlier run may have predicted another image of this name.
        elif not (path.exists() and path.samefile(image)):
            link(path, image)
        self.masks.write(confident(mask, probabilities, self.minimum, self.ignore_index), None, meta)


def winners(mask: Tensor, probabilities: Tensor) -> Tensor:
    """Return the probability of each pixel's predicted class, float32 `[H, W]`.

    Args:
        mask: uint8 `[H, W]`.
        probabilities: float32 `[C, H, W]`; if C is 1, the probability of class 1.
    """
    if len(probabilities) > 1:  # not the highest: thresholds and areas may have chosen another class
        return probabilities.gather(0, mask[None].long())[0]
    return (probabilities[0] - 1 + mask).abs()


def confident(mask: UInt8Array, winner: Float32Array, minimum: Float32Array, ignore_index: int = 255) -> UInt8Array:
    """Return a mask whose uncertain pixels are ignored.

    Args:
        mask: uint8 `[H, W]`.
        winner: the probability of each pixel's predicted class, float32 `[H, W]`.
        minimum: the probability below which a pixel of each label is uncertain, float32 `[256]`.
        ignore_index: the new label of uncertain pixels.
    """
    result = mask.copy()
    result[winner < minimum[mask]] = ignore_index
    return result


def minimum_of_labels(confidence: float | Mapping[str, float], classes: Sequence[str]) -> Float32Array:
    """Return the confidence of each label, float32 `[256]`; infinite for classes without one.

    Raises:
        UsageError: for an unknown class.
    """
    if not isinstance(confidence, Mapping):
        return np.full(256, confidence, dtype=np.float32)
    minimum = np.full(256, np.inf, dtype=np.float32)
    labels = {name: label for label, name in enumerate(classes)}
    for name, value in confidence.items():
        if name not in labels:
            raise UsageError(f"--pseudo-labels names the class '{name}', which the checkpoint does not have")
        minimum[labels[name]] = value
    return minimum


def with_pseudo_labels(train: Any, folder: Path, weight: float) -> list[Any]:
    """Return the value of `data.train` with the pseudo labels in a folder added, which are never validated on.

    Args:
        train: the value without them.
        folder: the folder of a `PseudoLabelWriter`.
        weight: how often each image occurs in an epoch, on average.
    """
    source = {
        'type': 'FolderSource',
        **pseudo_folders(folder),
        'reduce_zero_label': False,  # whatever the labels of the other data: these are the indices of the classes
        'repeat': weight,
        'only_train': True,
    }
    return [*(train if isinstance(train, list) else [train]), source]


def check_weight(weight: float) -> None:
    """Check how often pseudo labels shall occur.

    Raises:
        UsageError: if it is not above 0, or too high.
    """
    if not 0 < weight <= MAX_REPEATS:  # false for NaN, too
        raise UsageError(f'--pseudo-weight must be above 0 and at most {MAX_REPEATS}, got {weight}')
