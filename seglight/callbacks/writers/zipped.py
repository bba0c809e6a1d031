"""Write the masks for a competition as one zip of PNG files."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from pytorch_lightning import LightningModule

from seglight import submissions
from seglight.array_types import UInt8Array
from seglight.callbacks.writers.submission import SubmissionWriter
from seglight.errors import OutputError
from seglight.names import name_fault
from seglight.palette import encode_mask


class ZipWriter(SubmissionWriter):
    """Writes a zip with an indexed PNG, `{name}.png`, for each image, whose pixel values are the labels.

    Otherwise as `SubmissionWriter`.
    """

    kind = 'zip'

    def line(self, mask: UInt8Array, meta: dict[str, Any]) -> bytes:
        """Return the name and the PNG of an image as JSON.

        Raises:
            OutputError: if the name is not allowed in a path, which would lead out of the folder of whoever unpacks it.
        """
        if fault := name_fault(meta['name']):
            raise OutputError(f'cannot write to {self.path}: the image name {meta["name"]!r} {fault}; rename the image')
        png = encode_mask(submissions.shrink(mask, self.size), self.palette or [])
        return json.dumps([meta['name'], base64.b64encode(png).decode()]).encode()

    def assemble(self, file: BinaryIO, lines: Iterator[bytes], pl_module: LightningModule) -> None:
        """Write the zip; PNG files are compressed already."""
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_STORED) as target:
            for line in lines:
                name, png = json.loads(line)
                target.writestr(submissions.zipped_mask(name), base64.b64decode(png))
