"""Predict one part of the images, and record which, so that `seglight join` can put the parts together."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from seglight.callbacks.writers.base import OTHER_FOLDER, RESUME, predict_dataset
from seglight.callbacks.writers.files import FileWriter
from seglight.callbacks.writers.journal import JournalWriter
from seglight.callbacks.writers.pseudo import PseudoLabelWriter
from seglight.callbacks.writers.summary import PredictionSummary
from seglight.errors import UsageError
from seglight.files import writing_to
from seglight.names import file_name
from seglight.noted_images import checksum
from seglight.parts import RECORD, Part, Record, read_record
from seglight.report.run import first_difference
from seglight.trainer_callbacks import callbacks_of, find_callbacks

#: Packages whose versions are recorded.
PACKAGES = ('seglight', 'torch')


class PredictPart(Callback):
    """Leaves only the images of one part, and records them in its folder.

    This callback must come before the `PredictionWriter`s, and `PartDone` after all others. Needs a
    `SegmentationDataModule`.

    Args:
        folder: the folder of the part.
        part: which part.
        settings: what the predictions depend on, without secrets.
        resume: whether this run adds to the predictions in the folder.
    """

    def __init__(self, folder: Path, part: Part, settings: dict[str, Any], resume: bool = False) -> None:
        self.folder = folder
        self.part = part
        self.settings = settings
        self.resume = resume
        self.record: Record | None = None
        self.names: dict[str, str] = {}  #: the name of each image by its path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave only the images of the part.

        Raises:
            UsageError: if there are fewer images than parts, or the run would resume with other images.
        """
        dataset = predict_dataset(trainer)
        if stage != 'predict':
            return
        if dataset is None:
            raise UsageError('--part needs the data of seglight.data.SegmentationDataModule')
        batch_size = int(getattr(getattr(trainer, 'datamodule', None), 'batch_size', 1))
        names = [file_name(sample.name, sample.image) for sample in dataset.samples]
        own = self.part.images(len(dataset.samples), batch_size)
        record = Record(str(self.part), own.start, len(names), checksum(names), names[own.start : own.stop])
        if self.resume and (self.folder / RECORD).is_file():
            self._check_same(record, read_record(self.folder))
        trainer.strategy.barrier('part')  # all have read the record before it is written
        dataset.samples = dataset.samples[own.start : own.stop]
        record.stems = [sample.name for sample in dataset.samples]
        self.names = dict(zip((str(sample.image) for sample in dataset.samples), record.names, strict=True))
        record.settings, record.versions = self.settings, {name: version(name) for name in PACKAGES}
        for writer in callbacks_of(trainer):
            if isinstance(writer, FileWriter):
                record.folders[writer.folder.name] = writer.suffix
            elif isinstance(writer, PseudoLabelWriter):
                record.folders[writer.folder.name] = ''
            elif isinstance(writer, JournalWriter):
                record.files[writer.path.name] = writer.kind
        self.record = record
        if trainer.is_global_zero:
            with writing_to(self.folder, OTHER_FOLDER):
                record.write(self.folder)

    def _check_same(self, record: Record, earlier: Record) -> None:
        """Reject a folder whose predictions were made from other images, or with other settings."""
        if changed := first_difference(earlier.settings, self.settings):
            key, old, new = changed
            raise UsageError(f'{self.folder} was predicted with {key} {old}, now {new}; remove --resume to start again')
        if (earlier.images, earlier.names) != (record.images, record.names):
            raise UsageError(
                f'{self.folder} is the part of another list of images ({earlier.count}, now {record.count}) or of '
                'another data.batch_size; remove --resume to predict it again'
            )


class PartDone(Callback):
    """Records that a part is done, and which images could not be predicted; must come after all other callbacks.

    Args:
        predict_part: the callback that began the record.
    """

    def __init__(self, predict_part: PredictPart) -> None:
        self.predict_part = predict_part

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Complete the record, after the writers of all processes have written their last files."""
        record, folder = self.predict_part.record, self.predict_part.folder
        if record is None:
            return
        trainer.strategy.barrier('part')
        summaries = find_callbacks(trainer, PredictionSummary)
        record.failed = [self.predict_part.names[failure.path] for each in summaries for failure in each.failed]
        record.is_done = True
        if trainer.is_global_zero:
            with writing_to(folder, RESUME):
                record.write(folder)
