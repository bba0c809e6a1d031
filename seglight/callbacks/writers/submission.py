"""Write the CSV file for a competition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pytorch_lightning import LightningModule

from seglight import submissions
from seglight.array_types import UInt8Array
from seglight.callbacks.writers.journal import JournalWriter
from seglight.errors import UsageError
from seglight.names import file_name, name_fault


class SubmissionWriter(JournalWriter):
    """Writes the columns `image_id` and `PredictionString`, byte for byte like pandas.

    `image_id` is the path of the image below its folder, or its `file_name` in a COCO JSON; the order is that of the
    data. `PredictionString` contains the labels of the mask, row by row.

    Args:
        path: the file.
        size: height and width to which masks are resized by nearest neighbour; None to keep the image's size.
        resume: continue the lines of an interrupted run.
    """

    kind = 'labels'

    def __init__(self, path: str | Path, size: tuple[int, int] | None = (256, 256), resume: bool = False) -> None:
        super().__init__(path, resume)
        self.size = size

    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the image's row."""
        labels = submissions.format_labels(submissions.shrink(mask, self.size))
        return submissions.row(file_name(meta['name'], meta['path']), labels).rstrip(b'\n')

    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write the header and the rows."""
        file.write(submissions.HEADER)
        for line in lines:
            file.write(line + b'\n')


def submission_path(
    checkpoint: Path, remark: str | None = None, folder: Path | None = None, suffix: str = '.csv'
) -> Path:
    """Return `epoch_45.csv` or `epoch_45_{remark}.csv`, in a folder, by default that of the checkpoint.

    Raises:
        UsageError: if the remark is not part of a file name, for example because it contains a slash.
    """
    name = f'{checkpoint.stem}{f"_{remark}" if remark else ""}{suffix}'
    if Path(name).name != name or name_fault(name):
        raise UsageError(f'--remark must be part of a file name, got {remark!r}')
    return (folder or checkpoint.parent) / name
