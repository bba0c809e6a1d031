"""Write the masks for a competition as one zip of PNG files."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pytorch_lightning import LightningModule, Trainer

from seglight import submissions
from seglight.array_types import UInt8Array
from seglight.callbacks.writers.base import all_names
from seglight.callbacks.writers.numbering import Numbers, encode_numbered, numbers_of_classes
from seglight.callbacks.writers.submission import SubmissionWriter
from seglight.errors import OutputError
from seglight.names import name_fault


class ZipWriter(SubmissionWriter):
    """Writes a zip with an indexed PNG, `{name}.png`, for each image, whose pixel values are the labels.

    Otherwise as `SubmissionWriter`.

    Args:
        path: the file.
        size: height and width to which masks are resized by nearest neighbour; None to keep the image's size.
        resume: continue the lines of an interrupted run.
        labels: the pixel value of each class, as for `MaskWriter`.
    """

    kind = 'zip'

    def __init__(
        self,
        path: str | Path,
        size: tuple[int, int] | None = (256, 256),
        resume: bool = False,
        labels: Numbers = None,
    ) -> None:
        super().__init__(path, size, resume)
        self.labels = labels
        self.numbers: Sequence[int] | None = None  #: of all classes; `setup` knows them

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the label of each class, and check all names before the first prediction.

        Raises:
            UsageError: if there is not one label for each class.
            OutputError: if a name is not allowed.
        """
        if stage == 'predict':
            for name in all_names(trainer):
                self._check(name)
            self.numbers = numbers_of_classes(self.labels, pl_module)
        super().setup(trainer, pl_module, stage)

    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the name and the PNG of an image as JSON.

        Raises:
            OutputError: if the name is not allowed.
        """
        self._check(meta['name'])
        png = encode_numbered(submissions.shrink(mask, self.size), self.palette or [], self.numbers)
        return json.dumps([meta['name'], base64.b64encode(png).decode()]).encode()

    def _check(self, name: str) -> None:
        """Reject a name that would lead out of the folder of whoever unpacks it, or that a zip cannot have."""
        fault = name_fault(name)
        try:
            name.encode()
        except UnicodeEncodeError:
            fault = 'is not Unicode text'
        if fault:
            raise OutputError(f'cannot write to {self.path}: the image name {name!r} {fault}; rename the image')

    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write the zip; PNG files are compressed already."""
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as target:
            for line in lines:
                name, png = json.loads(line)
                target.writestr(submissions.zipped_mask(name), base64.b64decode(png))
