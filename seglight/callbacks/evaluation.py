"""Record the data of a report while a model is validated or tested."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from seglight.batch import ImageMeta, without_padding
from seglight.callbacks.processes import gathered
from seglight.errors import UserError, say
from seglight.histogram import histogram
from seglight.host_copy import HostCopy
from seglight.models.inference.logits import Prediction, strided
from seglight.models.inference.options import Options
from seglight.palette import default_palette
from seglight.report.evaluation import (
    BINS,
    EVALUATIONS,
    Counts,
    Evaluation,
    Example,
    class_iou,
    load_evaluation,
    mean_known,
    save_evaluation,
)
from seglight.run import run_folder

EXAMPLES = 10  #: number of best images kept, and of worst images

#: Confidences are summed as multiples of 2 ** -SHIFT: as integers, the sum does not depend on their order.
SHIFT = 30


class Candidate(NamedTuple):
    """An image that may become an `Example`; its mask and its prediction may still be on their way to the host."""

    path: str
    name: str
    iou: float
    mask: HostCopy
    prediction: HostCopy

    def example(self) -> Example:
        """Return the example; wait for its mask and its prediction."""
        return Example(self.path, self.name, self.iou, self.mask.array(), self.prediction.array())


class _Counted(NamedTuple):
    """A batch whose confusion, `[B, C, C]`, is on its way to the host; the masks are on the device."""

    confusions: HostCopy
    predictions: list[Tensor]
    masks: Tensor
    meta: list[ImageMeta]


#: IoU or its negative, the key of the name, and a unique number, since candidates cannot be compared.
Entry = tuple[float, Any, int, Candidate]


@dataclass
class _Pass:
    """The counts of one process in one pass; see `Evaluation`. `best` and `worst` are heaps.

    `calibration`: the sums of `_calibration`. `waiting`: the last batch, not yet in the lists.
    """

    confusion: Tensor
    calibration: Tensor
    waiting: _Counted | None = None
    names: list[str] = field(default_factory=list)
    image_iou: list[float] = field(default_factory=list)
    best: list[Entry] = field(default_factory=list)
    worst: list[Entry] = field(default_factory=list)


class _Part(NamedTuple):
    """A `_Pass` in the memory of the host, with examples instead of candidates."""

    confusion: Counts
    calibration: Counts
    names: list[str]
    image_iou: list[float]
    best: list[tuple[float, Any, int, Example]]
    worst: list[tuple[float, Any, int, Example]]


class EvaluationRecorder(Callback):
    """Sums confusion and calibration, keeps the best and worst images, and writes them to a file.

    In training, the file describes the epoch with the highest mIoU. The module must have `classes`, and may have
    `palette` and `ignore_index`; its `validation_step` and `test_step` must return `Evaluated`, like those of
    `Segmentor`, with the confidence of each prediction.

    Args:
        file: the `.npz` file to write; by default a file in the run's folder in training, and no file otherwise.

    Attributes:
        evaluation: the last complete pass, on rank 0; None before it.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self.evaluation: Evaluation | None = None
        self._pass: _Pass | None = None
        self._best = -1.0
        self._train_pixels: Tensor | None = None
        self._first_epoch: int | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Find the folder of the run, and the highest mIoU so far if the run resumes in its own folder."""
        if self.file is None:
            self.file = run_folder(trainer) / EVALUATIONS / 'fit.npz'
        if self.file.exists():
            self._best = _highest(self.file, pl_module.classes)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict[str, Any], batch_idx: int
    ) -> None:
        """Count the labels of this process's first epoch."""
        if self._first_epoch is None:
            self._first_epoch = trainer.current_epoch
            self._train_pixels = torch.zeros(256, dtype=torch.int64, device=pl_module.device)
        if trainer.current_epoch == self._first_epoch and self._train_pixels is not None:
            labels = batch['mask'].flatten().long()
            self._train_pixels.scatter_add_(0, labels, torch.ones_like(labels))  # a GPU waits for `bincount`

    def adapt(self, options: Options, stage: str) -> Options:
        """Make the module return the confidence, except in predict."""
        return options if stage == 'predict' else replace(options, confidence=True)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Start with empty counts."""
        classes = len(pl_module.classes)
        zeros = torch.zeros(classes, classes, dtype=torch.int64, device=pl_module.device)
        self._pass = _Pass(zeros, torch.zeros(3, BINS, dtype=torch.int64, device=pl_module.device))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the images of a batch.

        Their IoU is read a batch later, while the device computes the next one.
        """
        if self._pass is None or trainer.sanity_checking:
            return
        ignore_index = getattr(pl_module, 'ignore_index', 255)
        confusions = outputs['confusions']
        self._pass.confusion += confusions.sum(0)
        self._pass.calibration += _calibration(outputs['predictions'], batch['mask'], ignore_index)
        before = self._pass.waiting
        predictions = [output.mask for output in outputs['predictions']]
        self._pass.waiting = _Counted(HostCopy(confusions), predictions, batch['mask'], batch['meta'])
        if before is not None:
            _keep_batch(self._pass, before)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Sum over all processes, and write the file if this pass has the highest mIoU."""
        counted = self._pass
        self._pass = None
        if counted is None or trainer.sanity_checking:
            return
        if counted.waiting is not None:
            _keep_batch(counted, counted.waiting)
        parts = gathered(_on_host(counted))
        train_pixels = self._summed_train_pixels(trainer, len(pl_module.classes))
        if not trainer.is_global_zero:
            return
        self.evaluation = _evaluation(parts, trainer, pl_module, train_pixels)
        if self.evaluation.miou > self._best:
            self._best = self.evaluation.miou
            self._save(self.evaluation)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Discard an unfinished pass."""
        self._pass = None

    def _save(self, evaluation: Evaluation) -> None:
        """Write the file; if it cannot be written, only the report is missing."""
        try:
            if self.file:
                save_evaluation(evaluation, self.file)
        except OSError as error:
            say(f'No report: {self.file} cannot be written: {error.strerror}')
            self.file = None

    def on_test_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Do what `on_validation_epoch_start` does."""
        self.on_validation_epoch_start(trainer, pl_module)

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Do what `on_validation_batch_end` does."""
        self.on_validation_batch_end(*args, **kwargs)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Do what `on_validation_epoch_end` does."""
        self.on_validation_epoch_end(trainer, pl_module)

    def _summed_train_pixels(self, trainer: Trainer, num_classes: int) -> Tensor:
        """Return the number of pixels of each class in training, int64 `[C]`."""
        if self._train_pixels is None:
            return torch.zeros(num_classes, dtype=torch.int64)
        summed: Tensor = trainer.strategy.reduce(self._train_pixels.clone(), reduce_op='sum')
        return summed[:num_classes].cpu()


def _highest(file: Path, classes: list[str]) -> float:
    """Return the mIoU in a file; -1 if it cannot be read or has other classes, so that it is replaced."""
    try:
        evaluation = load_evaluation(file)
    except UserError:
        return -1.0
    return evaluation.miou if evaluation.classes == list(classes) else -1.0


def _calibration(predictions: Sequence[Prediction], masks: Tensor, ignore_index: int) -> Tensor:
    """Count the pixels of a batch by the probability of their prediction.

    Args:
        predictions: of B images, with the confidence of every `STRIDE`-th pixel.
        masks: uint8 `[B, H, W]`, padded to the largest image.
        ignore_index: label of pixels that are not counted.

    Returns:
        int64 `[3, BINS]`: the number of pixels, the sum of probabilities in units of 2 ** -SHIFT, and the number of
        correct predictions in each bin.
    """
    labels = [strided(without_padding(mask, one.mask)) for one, mask in zip(predictions, masks, strict=True)]
    label = torch.cat([each.flatten() for each in labels])
    predicted = torch.cat([strided(one.mask).flatten() for one in predictions])
    confidence = torch.cat([one.confidence.flatten() for one in predictions if one.confidence is not None])
    # NaN from a diverged model counts as 0.
    values = (confidence.float().nan_to_num() * 2**SHIFT).long()
    bins = (values * BINS >> SHIFT).clamp(max=BINS - 1).masked_fill(label == ignore_index, BINS)
    hits = (predicted == label).long()
    return torch.stack([histogram(bins, BINS + 1, weights)[:BINS] for weights in (None, values, hits)])


def _keep_batch(counted: _Pass, batch: _Counted) -> None:
    """Record the images of a batch."""
    images = zip(batch.confusions.array(), batch.predictions, batch.masks, batch.meta, strict=True)
    for confusion, prediction, padded, meta in images:
        _keep(counted, confusion, prediction, without_padding(padded, prediction), meta)


def _keep(counted: _Pass, confusion: Counts, prediction: Tensor, mask: Tensor, meta: ImageMeta) -> None:
    """Record the IoU of an image, and its masks if it is among the best or the worst."""
    iou = mean_known(class_iou(confusion))
    counted.names.append(meta['name'])
    counted.image_iou.append(iou)
    if np.isnan(iou):
        return
    name = meta['name']
    lists = [
        (heap, key)
        for heap, key in ((counted.best, (iou, name)), (counted.worst, (-iou, _from_last(name))))
        if len(heap) < EXAMPLES or key > heap[0][:2]
    ]
    # Cloned, so that the other images of the batch are freed.
    copies = [HostCopy(pixels.clone()) for pixels in (mask, prediction) if lists]
    for heap, key in lists:
        push = heapq.heappush if len(heap) < EXAMPLES else heapq.heappushpop
        push(heap, (*key, len(counted.names), Candidate(meta['path'], name, iou, *copies)))


def _from_last(name: str) -> tuple[int, ...]:
    """Return a key that sorts names in reverse, so that of images with equal IoU none is both best and worst."""
    return (*(-ord(letter) for letter in name), 1)


def _on_host(counted: _Pass) -> _Part:
    """Return the counts of this process as other processes can receive them."""
    best, worst = ([(*key, candidate.example()) for *key, candidate in heap] for heap in (counted.best, counted.worst))
    confusion, calibration = counted.confusion.cpu().numpy(), counted.calibration.cpu().numpy()
    return _Part(confusion, calibration, counted.names, counted.image_iou, best, worst)


def _evaluation(parts: list[_Part], trainer: Trainer, pl_module: Any, train_pixels: Tensor) -> Evaluation:
    """Merge the counts of all processes; no image is in both lists."""
    known = sum(not np.isnan(iou) for part in parts for iou in part.image_iou)
    best = _first([part.best for part in parts], (known + 1) // 2)
    worst = _first([part.worst for part in parts], known // 2)
    counts, confidence, hits = np.sum([part.calibration for part in parts], axis=0)
    training = trainer.state.fn == 'fit'
    return Evaluation(
        classes=list(pl_module.classes),
        palette=getattr(pl_module, 'palette', None) or default_palette(len(pl_module.classes)),
        ignore_index=getattr(pl_module, 'ignore_index', 255),
        epoch=trainer.current_epoch + 1 if training else 0,
        step=trainer.global_step if training else 0,
        confusion=np.sum([part.confusion for part in parts], axis=0),
        names=[name for part in parts for name in part.names],
        image_iou=np.array([iou for part in parts for iou in part.image_iou]),
        bin_counts=counts,
        bin_confidence=confidence / 2**SHIFT,
        bin_hits=hits,
        train_pixels=train_pixels.numpy(),
        best=best,
        worst=worst,
    )


def _first(heaps: list[list[tuple[float, Any, int, Example]]], count: int) -> list[Example]:
    """Return the examples with the highest keys of all heaps, at most `count` and `EXAMPLES`, the highest first."""
    entries = [entry for heap in heaps for entry in heap]
    highest = heapq.nlargest(min(count, EXAMPLES), entries, key=lambda entry: entry[:2])
    return [example for *_, example in highest]
