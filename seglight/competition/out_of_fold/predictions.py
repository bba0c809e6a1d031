"""Out-of-fold predictions: each image as the model predicts it that was not trained on it, and the score of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from seglight.array_types import UInt8Array
from seglight.arrays import ERRORS, load_arrays
from seglight.competition.out_of_fold.plan import Plan
from seglight.competition.out_of_fold.splitting import IMAGES, fold_folder, splittable_samples
from seglight.data.masks import read_mask
from seglight.data.sources.base import Annotation, Context
from seglight.data.sources.images import ImageSource
from seglight.errors import DataError, UsageError
from seglight.models.metrics import count_confusion
from seglight.names import path_below
from seglight.report.evaluation import Counts

#: Limit for the probabilities of an image, uncompressed.
MAX_BYTES = 8 << 30

#: The views of `seglight folds`: the image as it is.
PLAIN = 'plain'


def run_folder(folder: Path, model: str, fold: int) -> Path:
    """Return the folder of the run of a model whose validation images are a fold, counted from 1."""
    return folder / model / f'fold{fold}'


def prediction_folder(folder: Path, model: str, fold: int, views: str = PLAIN) -> Path:
    """Return the folder of the predictions of a fold with some views."""
    return run_folder(folder, model, fold) / 'out_of_fold' / views


@dataclass(frozen=True)
class Held:
    """An image with its labels, and where its predictions are.

    Attributes:
        image: the image file.
        fold: its fold, from 1.
        name: the name of its predictions.
        mask: its labels.
    """

    image: Path
    fold: int
    name: str
    mask: Annotation


class OutOfFold:
    """The out-of-fold predictions in the folder of a plan.

    Args:
        folder: the folder.
        plan: its plan.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan

    @cached_property
    def images(self) -> list[Held]:
        """The images of all folds, fold by fold.

        Raises:
            DataError: if an image is no longer part of the data.
        """
        samples = {sample.image.absolute(): sample for sample in splittable_samples(self.plan)}
        found = []
        for fold in range(1, self.plan.folds + 1):
            listed = (fold_folder(self.folder, fold) / IMAGES).absolute()
            for predicted in ImageSource(str(listed)).samples(Context(self.plan.classes)):
                sample = samples.get(predicted.image)
                if sample is None or sample.mask is None:
                    raise DataError(f'{listed} names {predicted.image}, which is no longer part of data.train')
                found.append(Held(predicted.image, fold, predicted.name, sample.mask))
        return found

    def mask(self, held: Held, model: str, views: str = PLAIN) -> UInt8Array:
        """Return the predicted mask of an image, uint8 `[H, W]`."""
        folder = prediction_folder(self.folder, model, held.fold, views) / 'masks'
        return read_mask(path_below(folder, held.name, '.png')).astype(np.uint8)

    def probabilities(self, held: Held, model: str, views: str = PLAIN) -> UInt8Array:
        """Return the class probabilities of an image times 255, uint8 `[C, H, W]`.

        Raises:
            DataError: if the file is missing or damaged, or has other classes.
        """
        folder = prediction_folder(self.folder, model, held.fold, views) / 'probabilities'
        path = path_below(folder, held.name, '.npz')
        try:
            stored = load_arrays(path, MAX_BYTES)['probabilities']
        except ERRORS as error:
            raise DataError(f'{path} cannot be read: remove {folder.parent} and run seglight folds again') from error
        count = len(self.plan.classes)
        if stored.dtype != np.uint8 or stored.ndim != 3 or len(stored) not in (1, count):
            raise DataError(f'{path} must contain uint8 probabilities of {count} classes')
        if len(stored) == 1:  # a binary head with a sigmoid
            stored = np.concatenate([255 - stored, stored])
        return stored

    def confusions(self, model: str, views: str = PLAIN) -> Counts:
        """Return the confusion of a model in each fold, int64 `[folds, C, C]`: a row for each label."""
        pairs = ((held.fold, held.mask.read(), self.mask(held, model, views)) for held in self.images)
        return confusions(pairs, self.plan)


def confusions(pairs: Iterator[tuple[int, UInt8Array, UInt8Array]], plan: Plan) -> Counts:
    """Return the confusion in each fold, int64 `[folds, C, C]`: a row for each label, a column for each prediction.

    Args:
        pairs: the fold, the labels and the prediction of each image.
        plan: the classes and the number of folds.
    """
    count = len(plan.classes)
    total = np.zeros((plan.folds, count, count), dtype=np.int64)
    for fold, labels, predicted in pairs:
        total[fold - 1] += confusion(labels, predicted, count, plan.data['ignore_index'])
    return total


def confusion(labels: npt.NDArray[np.uint8], predicted: UInt8Array, count: int, ignore_index: int) -> Counts:
    """Return the number of pixels of each pair of label and prediction, int64 `[C, C]`."""
    counts = count_confusion(torch.from_numpy(predicted), torch.from_numpy(labels), count, ignore_index)
    result: Counts = counts.numpy()
    return result


def check_complete(folder: Path, plan: Plan) -> None:
    """Check that the plain predictions of all runs are complete.

    Raises:
        UsageError: names the first run whose predictions are not.
    """
    for model in plan.models:
        for fold in range(1, plan.folds + 1):
            if not (prediction_folder(folder, model, fold) / DONE).is_file():
                run = run_folder(folder, model, fold)
                raise UsageError(f'{run} has no complete predictions; repeat the command of seglight folds first')


#: Files that mark a complete training in a run's folder, and complete predictions in theirs.
TRAINED, DONE = '.trained', '.done'
