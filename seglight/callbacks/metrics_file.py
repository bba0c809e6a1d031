"""A run's `metrics.csv`, which a resumed run continues from its checkpoint."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.csv_logs import ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only

from seglight.files import write_atomically
from seglight.plain_text import read_rows

Rows = list[dict[str, str]]


class MetricsFile(CSVLogger):
    """Lightning's `CSVLogger`, but the file is in the folder itself, and a resumed run appends to it.

    Args:
        folder: the folder of `metrics.csv`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, name='', version='')
        self._path = folder / ExperimentWriter.NAME_METRICS_FILE

    @property
    @rank_zero_experiment
    def experiment(self) -> ExperimentWriter:
        """The file's writer."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        writer: ExperimentWriter = self._experiment  # type: ignore[assignment]
        return writer

    def rows(self) -> int:
        """Write everything logged so far, and return the number of rows in the file."""
        self.save()
        return len(_read(self._path)[1])

    @rank_zero_only
    def cut(self, rows: int) -> None:
        """Keep the first rows, and remove those after a checkpoint, which the resumed run logs again."""
        names, stored = _read(self._path)
        if rows and stored:
            _write(self._path, names, stored[:rows])
        else:
            self._path.unlink(missing_ok=True)


class _Writer(ExperimentWriter):
    """Lightning's writer, but it appends rows to an existing file and adds columns atomically."""

    def _check_log_dir_exists(self) -> None:
        """Continue an existing file, which Lightning would delete."""
        self.metrics_keys = list(_read(Path(self.metrics_file_path))[0])

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        path = Path(self.metrics_file_path)
        _write(path, fieldnames, _read(path)[1])


def _read(path: Path) -> tuple[Sequence[str], Rows]:
    """Return the names of the columns and the complete rows; none if there is no file."""
    return read_rows(path) if path.is_file() else ((), [])


def _write(path: Path, names: Sequence[str], rows: Rows) -> None:
    text = io.StringIO(newline='')
    writer = csv.DictWriter(text, fieldnames=names)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode())
