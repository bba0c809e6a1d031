"""Programs of `torch.export` (.pt2), run by torch itself."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seglight.errors import CheckpointError
from seglight.runtimes.base import Runtime
from seglight.runtimes.metadata import MOST_TEXT, NAME, Metadata, parse
from seglight.weight_files import check_checksums, opened
from seglight.zip_directory import ERRORS, check_methods

#: The record with the metadata, without the folder that torch puts around all records.
_RECORD = f'extra/{NAME}.json'


class ProgramFile(Runtime):
    """Runs a program of `torch.export` on the device of its images.

    Args:
        path: the file.
        trust: whether it is your own: torch unpickles parts of it and evaluates expressions in it.

    Raises:
        CheckpointError: if it is not trusted.
    """

    def __init__(self, path: Path, trust: bool) -> None:
        super().__init__(path, read_metadata(path))
        if not trust:
            raise CheckpointError(
                f'{path} is refused: loading a program of torch.export can run code; pass --trust-checkpoint if the '
                'file is your own, or export to ONNX'
            )

    def run(self, image: Tensor) -> Tensor:
        """Run the program on images of a size that it takes."""
        key = str(image.device)
        if key not in self._loaded:
            self._loaded[key] = _load(self.path, image.device)
        with torch.no_grad():
            output: Tensor = self._loaded[key](image)
        return output


def _load(path: Path, device: torch.device) -> Any:
    from torch.export.passes import move_to_device_pass

    with path.open('rb') as file:
        check_checksums(file, path)  # torch does not, and would predict with changed weights
        file.seek(0)
        program = torch.export.load(file)
    return move_to_device_pass(program, device).module()


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of a file without loading its program.

    Raises:
        CheckpointError: if it is damaged or has none.
    """
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                check_methods(archive)
                records = [each for each in archive.infolist() if each.filename.partition('/')[2] == _RECORD]
                text = None
                if records:
                    with archive.open(records[0]) as record:
                        text = record.read(MOST_TEXT + 1)
        except (OSError, *ERRORS) as error:
            raise CheckpointError(f'{path} is not a program of torch.export, or it is truncated or damaged') from error
    return parse(text, path)
