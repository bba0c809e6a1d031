"""A traced graph as a file of `torch.export`."""

from __future__ import annotations

from pathlib import Path

import torch

from seglight.runtimes.metadata import NAME, Metadata


class Program:
    """A program that is ready to be written.

    Args:
        program: from `seglight.exporting.program`.
    """

    def __init__(self, program: torch.export.ExportedProgram) -> None:
        self.program = program

    def save(self, path: Path, metadata: Metadata) -> None:
        """Write the program with its metadata."""
        with path.open('wb') as file:
            torch.export.save(self.program, file, extra_files={f'{NAME}.json': metadata.text()})
