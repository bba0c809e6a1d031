"""Write the CSV file for a competition that scores run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from pytorch_lightning import LightningModule

from seglight import submissions
from seglight.array_types import UInt8Array
from seglight.callbacks.writers.submission import SubmissionWriter
from seglight.files import as_bytes
from seglight.names import file_name
from seglight.run_lengths import encode_runs


class RunLengthWriter(SubmissionWriter):
    """Writes a row for each image and each class: `image_id`, the class's label, and its runs as in `encode_runs`.

    A class that is not predicted in an image has a row without runs. Class 0 has no rows if it is called background.
    Otherwise as `SubmissionWriter`.
    """

    kind = 'rle'

    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the image and the runs of its classes as JSON."""
        small = submissions.shrink(mask, self.size)
        runs = {int(label): encode_runs(small == label) for label in np.unique(small)}
        return json.dumps([file_name(meta['name'], meta['path']), runs]).encode()

    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write the header and the rows."""
        names: Any = getattr(pl_module, 'classes', ())
        file.write(submissions.RUNS_HEADER)
        for line in lines:
            image_id, runs = json.loads(line)
            for label, name in enumerate(names):
                if label or str(name).lower() != 'background':
                    text = as_bytes(f'{label},{runs.get(str(label), "")}')
                    file.write(submissions.row(image_id, text))
