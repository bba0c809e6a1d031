"""Record the data of a report while a model is validated or tested."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from seglight.callbacks.processes import gathered
from seglight.errors import UserError
from seglight.models.inference.logits import strided
from seglight.models.inference.options import Options
from seglight.palette import default_palette
from seglight.report.evaluation import (
    BINS,
    EVALUATIONS,
    Evaluation,
    Example,
    class_iou,
    load_evaluation,
    mean_known,
    save_evaluation,
)
from seglight.run import run_folder

EXAMPLES = 10  #: number of best images kept, and of worst images

#: IoU or its negative, name, and a unique number, since examples cannot be compared.
Entry = tuple[float, str, int, Example]


@dataclass
class _Pass:
    """The counts of one process in one pass; see `Evaluation`. `best` and `worst` are heaps."""

    confusion: Tensor
    calibration: Tensor
    names: list[str] = field(default_factory=list)
    image_iou: list[float] = field(default_factory=list)
    best: list[Entry] = field(default_factory=list)
    worst: list[Entry] = field(default_factory=list)


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
        self._pass = _Pass(zeros, torch.zeros(3, BINS, dtype=torch.float64))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: Any,
        outputs: Any,
        batch: dict[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the images of a batch."""
        if self._pass is None or trainer.sanity_checking:
            return
        ignore_index = getattr(pl_module, 'ignore_index', 255)
        images = zip(outputs['predictions'], outputs['confusions'], batch['mask'], batch['meta'], strict=True)
        for output, confusion, padded, meta in images:
            prediction = output.mask
            mask = padded[: prediction.shape[0], : prediction.shape[1]]
            self._pass.confusion += confusion
            self._pass.calibration += _calibration(output.confidence, prediction, mask, ignore_index).cpu()
            _keep(self._pass, confusion, prediction, mask, meta)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Sum over all processes, and write the file if this pass has the highest mIoU."""
        counted = self._pass
        self._pass = None
        if counted is None or trainer.sanity_checking:
            return
        parts = gathered(replace(counted, confusion=counted.confusion.cpu()))
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
            print(f'No report: {self.file} cannot be written: {error.strerror}', flush=True)
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


def _calibration(confidence: Tensor, prediction: Tensor, mask: Tensor, ignore_index: int) -> Tensor:
    """Count pixels by the probability of their prediction.

    Args:
        confidence: float `[h, w]`, for every `STRIDE`-th pixel of the prediction.
        prediction: uint8 `[H, W]`.
        mask: uint8 `[H, W]`.
        ignore_index: label of pixels that are not counted.

    Returns:
        float64 `[3, BINS]`: the number of pixels, the sum of probabilities, and the number of correct predictions in
        each bin.
    """
    prediction, mask = strided(prediction), strided(mask)
    counted = mask != ignore_index
    values = confidence[counted].double().nan_to_num()  # NaN from a diverged model counts as 0
    bins = (values * BINS).long().clamp(max=BINS - 1)
    hits = (prediction == mask)[counted].double()
    weights = (torch.ones_like(values), values, hits)
    # A GPU has no deterministic `bincount` with weights.
    return torch.stack([values.new_zeros(BINS).scatter_add_(0, bins, weight) for weight in weights])


def _keep(counted: _Pass, confusion: Tensor, prediction: Tensor, mask: Tensor, meta: dict[str, Any]) -> None:
    """Record the IoU of an image, and its masks if it is among the best or the worst."""
    iou = mean_known(class_iou(confusion.cpu().numpy()))
    counted.names.append(meta['name'])
    counted.image_iou.append(iou)
    if np.isnan(iou):
        return
    for heap, key in ((counted.best, iou), (counted.worst, -iou)):
        if len(heap) < EXAMPLES or (key, meta['name']) > heap[0][:2]:
            example = Example(meta['path'], meta['name'], iou, mask.cpu().numpy().copy(), prediction.cpu().numpy())
            push = heapq.heappush if len(heap) < EXAMPLES else heapq.heappushpop
            push(heap, (key, meta['name'], len(counted.names), example))


def _evaluation(parts: list[_Pass], trainer: Trainer, pl_module: Any, train_pixels: Tensor) -> Evaluation:
    """Merge the counts of all processes; no image is in both lists."""
    known = sum(not np.isnan(iou) for part in parts for iou in part.image_iou)
    best = _first([part.best for part in parts], (known + 1) // 2)
    worst = _first([part.worst for part in parts], known // 2)
    counts, confidence, hits = torch.stack([part.calibration for part in parts]).sum(0).numpy()
    training = trainer.state.fn == 'fit'
    return Evaluation(
        classes=list(pl_module.classes),
        palette=getattr(pl_module, 'palette', None) or default_palette(len(pl_module.classes)),
        ignore_index=getattr(pl_module, 'ignore_index', 255),
        epoch=trainer.current_epoch + 1 if training else 0,
        step=trainer.global_step if training else 0,
        confusion=torch.stack([part.confusion for part in parts]).sum(0).numpy(),
        names=[name for part in parts for name in part.names],
        image_iou=np.array([iou for part in parts for iou in part.image_iou]),
        bin_counts=counts.astype(np.int64),
        bin_confidence=confidence,
        bin_hits=hits.astype(np.int64),
        train_pixels=train_pixels.numpy(),
        best=best,
        worst=worst,
    )


def _first(heaps: list[list[Entry]], count: int) -> list[Example]:
    """Return the examples with the highest keys of all heaps, at most `count` and `EXAMPLES`, the highest first."""
    entries = [entry for heap in heaps for entry in heap]
    highest = heapq.nlargest(min(count, EXAMPLES), entries, key=lambda entry: entry[:2])
    return [example for *_, example in highest]
