"""Write predictions in the background."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from seglight.array_types import UInt8Array
from seglight.cores import cores
from seglight.errors import UsageError
from seglight.files import writing_to
from seglight.host_copy import HostCopy, shared_copy
from seglight.models.inference.logits import Prediction
from seglight.models.inference.module import needs_segmentor
from seglight.models.inference.options import Options
from seglight.palette import default_palette

#: Probabilities as a writer keeps them.
Kept = npt.NDArray[Any]

#: Cures for a folder that cannot be written: before the first prediction, and later.
OTHER_FOLDER, RESUME = 'choose another folder with --output', 'fix this, then add --resume'

#: Maximum number of images in the queue of each writing thread. With probabilities (300 MB in float16 for an image
#: of one megapixel and 150 classes) it is lower.
MAX_WAITING, MAX_WAITING_WITH_PROBABILITIES = 32, 2

#: Maximum number of threads of a writer.
MAX_THREADS = 8

#: Maximum size of a writer's queue in bytes, unless a single image is larger.
MAX_BYTES = 2**29


def predict_dataset(trainer: Trainer) -> Any:
    """Return the dataset to predict; None if the data module is not a `SegmentationDataModule`."""
    return getattr(getattr(trainer, 'datamodule', None), 'datasets', {}).get('test')


def all_names(trainer: Trainer) -> list[str]:
    """Return the names of all images in order, including those already predicted; empty if unknown."""
    dataset = predict_dataset(trainer)
    return getattr(dataset, 'all_names', None) or [sample.name for sample in getattr(dataset, 'samples', [])]


class PredictionWriter(BasePredictionWriter):
    """Writes predictions in other threads, with a bounded queue.

    `predict_step` must return a list of `seglight.models.inference.logits.Prediction`, and the batch must have `meta`,
    a list with the `path` and the `name` of each image (its path below the image folder, without suffix). A write
    error ends the run.

    Args:
        folder: the folder of the files.
    """

    #: Whether `write` needs the probabilities.
    needs_probabilities = False

    def __init__(self, folder: str | Path) -> None:
        super().__init__(write_interval='batch')
        self.folder = Path(folder)
        self.palette: list[list[int]] | None = None
        #: Files that were changed before, in nanoseconds since 1970, are of runs with other settings.
        self.since = 0
        self._threads = 1
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[None], int]] = deque()  #: each with the size of its arrays in bytes

    @abstractmethod
    def write(self, mask: UInt8Array, probabilities: Kept | None, meta: dict[str, Any]) -> None:
        """Write the prediction of one image; called in several threads at once.

        Args:
            mask: uint8 `[H, W]`, at the size of the image file.
            probabilities: the result of `kept_probabilities`.
            meta: a description of the image; see `seglight.batch.ImageMeta`.
        """

    def kept_probabilities(self, predicted: Prediction) -> Tensor | None:
        """Return what to queue of the probabilities, on the device; None if `needs_probabilities` is false."""
        return predicted.probabilities if self.needs_probabilities else None

    @abstractmethod
    def is_done(self, name: str) -> bool:
        """Return whether the prediction of an image is already written, by this run or an interrupted one."""

    def is_current(self, path: Path) -> bool:
        """Return whether a file exists and was made with the settings of this run."""
        return path.is_file() and path.stat().st_mtime_ns >= self.since

    def finish(self, trainer: Trainer) -> None:
        """Complete the output after the last image; called on all processes."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the folder before the first prediction.

        Raises:
            OutputError: if it cannot be created.
        """
        super().setup(trainer, pl_module, stage)
        if stage != 'predict':
            return
        if self.needs_probabilities:
            needs_segmentor(pl_module)
        self.palette = self.palette or getattr(pl_module, 'palette', None) or default_palette(256)
        with writing_to(self.folder, OTHER_FOLDER):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._threads = max(1, min(MAX_THREADS, cores() // trainer.world_size - 1))  # one core predicts
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix=type(self).__name__)

    def adapt(self, options: Options, stage: str) -> Options:
        """Make the module return the probabilities if they are needed."""
        return replace(options, probabilities=True) if self.needs_probabilities and stage == 'predict' else options

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
        """Pass the predictions of a batch to the threads; wait while the queue is full.

        A thread waits until the device has computed and copied its image.
        """
        if self._pool is None:
            raise UsageError(f'{type(self).__name__} was not set up for predict')
        maximum = self._threads * (MAX_WAITING_WITH_PROBABILITIES if self.needs_probabilities else MAX_WAITING)
        for predicted, meta in zip(prediction, batch['meta'], strict=True):
            while len(self._waiting) >= maximum:
                self._finish_oldest()
            kept = self.kept_probabilities(predicted)
            size = predicted.mask.nbytes + (0 if kept is None else kept.nbytes)
            while self._waiting and sum(bytes_ for _, bytes_ in self._waiting) + size > MAX_BYTES:
                self._finish_oldest()
            copies = shared_copy(predicted.mask), None if kept is None else HostCopy(kept)
            self._waiting.append((self._pool.submit(self._write_copies, *copies, meta), size))

    def _write_copies(self, mask: HostCopy, probabilities: HostCopy | None, meta: dict[str, Any]) -> None:
        self.write(mask.array(), None if probabilities is None else probabilities.array(), meta)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait for the last file; here, because Lightning skips other hooks if there are no images to predict."""
        if self._pool is not None:
            while self._waiting:
                self._finish_oldest()
            self._stop()
            with writing_to(self.folder, RESUME):
                self.finish(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let the threads write the queued predictions, then stop them."""
        self._stop()

    def _finish_oldest(self) -> None:
        """Wait until the oldest prediction in the queue is written."""
        with writing_to(self.folder, RESUME):
            future, _ = self._waiting.popleft()
            future.result()

    def _stop(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
            self._waiting.clear()
