"""The results of one pass over the validation images, stored in one small file."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from seglight.array_types import Floats, UInt8Array
from seglight.arrays import ERRORS, load_arrays
from seglight.errors import UserError
from seglight.files import write_atomically
from seglight.palette import encode_mask

Counts = npt.NDArray[np.int64]

EVALUATIONS = 'evaluation'  #: folder of these files in a run's folder
MOST_BYTES = 2 << 30  #: limit for the arrays in a file, uncompressed; masks of one colour shrink a thousandfold
BINS = 15  #: number of bins of the calibration curve, as in Guo et al. (arXiv:1706.04599)


@dataclass
class Example:
    """One image with its mask and its prediction.

    Attributes:
        path: the image file.
        name: its path relative to the image folder, without suffix.
        iou: mean IoU of the classes in it, 0 to 1.
        mask: uint8 `[H, W]`, at the size of the file.
        prediction: uint8 `[H, W]`.
    """

    path: str
    name: str
    iou: float
    mask: UInt8Array
    prediction: UInt8Array


@dataclass
class Evaluation:
    """Pixel counts over all images, and the images that were segmented best and worst.

    Attributes:
        classes: names of the C classes.
        palette: an RGB colour in 0 to 255 for each class.
        ignore_index: label in the masks that is ignored.
        epoch: number of completed epochs at a validation during training, 0 for a separate one.
        step: number of completed optimizer steps.
        confusion: int64 `[C, C]`, a row for each label, a column for each prediction.
        names: of all N images.
        image_iou: float64 `[N]`, mean IoU of the classes in each image; NaN without labelled pixels.
        bin_counts: int64 `[BINS]`, pixels by the confidence of their prediction, in equal bins from 0 to 1.
        bin_confidence: float64 `[BINS]`, sum of the confidences in each bin.
        bin_hits: int64 `[BINS]`, correctly predicted pixels in each bin.
        train_pixels: int64 `[C]`, labels in an epoch of training after augmentation, all 0 without training.
        best: at most ten images, the best first.
        worst: at most ten other images, the worst first.
    """

    classes: list[str]
    palette: list[list[int]]
    ignore_index: int
    epoch: int
    step: int
    confusion: Counts
    names: list[str]
    image_iou: Floats
    bin_counts: Counts
    bin_confidence: Floats
    bin_hits: Counts
    train_pixels: Counts
    best: list[Example] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)

    @property
    def iou(self) -> Floats:
        """IoU of each class, float64 `[C]`, NaN for a class that never occurs."""
        return class_iou(self.confusion)

    @property
    def accuracy(self) -> Floats:
        """Fraction of correctly predicted pixels of each class, float64 `[C]`, NaN for an absent class."""
        return _divide(self.confusion.diagonal(), self.confusion.sum(1))

    @property
    def precision(self) -> Floats:
        """Fraction of the pixels predicted as each class that have its label, float64 `[C]`; NaN without one."""
        return _divide(self.confusion.diagonal(), self.confusion.sum(0))

    @property
    def confused(self) -> Floats:
        """Share of each class's labelled pixels predicted as each other class, float64 `[C, C]`; the diagonal is 0."""
        shares: Floats = self.confusion / np.maximum(self.confusion.sum(1, keepdims=True), 1)
        np.fill_diagonal(shares, 0)
        return shares

    @property
    def miou(self) -> float:
        """Mean of `iou`, NaN if no pixel is labelled."""
        return mean_known(self.iou)

    @property
    def calibration_error(self) -> float:
        """Expected calibration error: mean difference of confidence and accuracy, by pixels (arXiv:1706.04599)."""
        total = self.bin_counts.sum()
        return float(np.abs(self.bin_confidence - self.bin_hits).sum() / total) if total else float('nan')


def class_iou(confusion: Counts) -> Floats:
    """Return the IoU of each class, float64 `[C]`, from a confusion matrix `[C, C]`; NaN for absent classes."""
    hits = confusion.diagonal()
    return _divide(hits, confusion.sum(0) + confusion.sum(1) - hits)


def mean_known(values: Floats) -> float:
    """Return the mean of the values that are not NaN, or NaN if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float('nan')


def save_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write an evaluation as an `.npz` file, with masks as PNG files in it."""
    values = vars(evaluation)
    arrays: dict[str, Any] = {name: value for name, value in values.items() if name not in ('best', 'worst')}
    for group in ('best', 'worst'):
        examples: list[Example] = values[group]
        arrays[f'{group}.text'] = [[example.path, example.name] for example in examples]
        arrays[f'{group}.iou'] = [example.iou for example in examples]
        for index, example in enumerate(examples):
            for part in ('mask', 'prediction'):
                png = encode_mask(getattr(example, part), evaluation.palette)
                arrays[f'{group}.{index}.{part}'] = np.frombuffer(png, dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def load_evaluation(path: Path, examples: bool = True) -> Evaluation:
    """Read a file of `save_evaluation`; nothing is unpickled.

    Args:
        path: the file.
        examples: whether to decode the masks of the best and the worst images.

    Raises:
        UserError: if the file is damaged or has another format.
    """
    try:
        stored: dict[str, Any] = load_arrays(path, MOST_BYTES)
        plain: dict[str, Any] = {name: value for name, value in stored.items() if '.' not in name}
        for name in ('classes', 'names', 'palette'):
            plain[name] = plain[name].tolist()
        for name in ('epoch', 'step', 'ignore_index'):
            plain[name] = int(plain[name])
        best, worst = (_examples(stored, group) if examples else [] for group in ('best', 'worst'))
        evaluation = Evaluation(**plain, best=best, worst=worst)
        _check_shapes(evaluation)
    except (*ERRORS, Image.DecompressionBombError) as error:
        message = f'{path} cannot be read: it is damaged or from another version; remove it and run validate again'
        raise UserError(message) from error
    return evaluation


def _check_shapes(evaluation: Evaluation) -> None:
    """Check that the arrays have matching sizes.

    Raises:
        ValueError: if they do not match.
    """
    classes, images = len(evaluation.classes), len(evaluation.names)
    shapes = {
        evaluation.confusion.shape: (classes, classes),
        evaluation.train_pixels.shape: (classes,),
        np.shape(evaluation.palette): (classes, 3),
        evaluation.image_iou.shape: (images,),
    }
    if any(found != wanted for found, wanted in shapes.items()):
        raise ValueError('its arrays do not match')


def _examples(stored: dict[str, Any], group: str) -> list[Example]:
    """Return the examples of one group."""

    def decoded(index: int, part: str) -> UInt8Array:
        with Image.open(io.BytesIO(stored[f'{group}.{index}.{part}'].tobytes()), formats=['PNG']) as image:
            return np.asarray(image, dtype=np.uint8)

    texts = stored[f'{group}.text'].reshape(-1, 2).tolist()
    figures = stored[f'{group}.iou'].tolist()
    return [
        Example(path, name, iou, decoded(index, 'mask'), decoded(index, 'prediction'))
        for index, ((path, name), iou) in enumerate(zip(texts, figures, strict=True))
    ]


def _divide(above: Counts, below: Counts) -> Floats:
    """Return a quotient, NaN where the divisor is zero."""
    result = np.full(above.shape, np.nan)
    np.divide(above, below, out=result, where=below > 0)
    return result
