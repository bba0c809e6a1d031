"""Find the runtime of an exported file by its suffix."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

from seglight.runtimes import onnx_file, openvino_file, program_file
from seglight.runtimes.base import Runtime
from seglight.runtimes.metadata import Metadata

#: The suffix of each format.
SUFFIXES = {'onnx': '.onnx', 'torch': '.pt2', 'openvino': '.xml'}

_READERS: dict[str, Callable[[Path], Metadata]] = {
    '.onnx': onnx_file.read_metadata,
    '.pt2': program_file.read_metadata,
    '.xml': openvino_file.read_metadata,
}


def is_exported(path: Path) -> bool:
    """Return whether a file is an exported model, judging by its suffix."""
    return path.suffix in _READERS


def read_metadata(path: Path) -> Metadata:
    """Return the metadata of an exported file without running it.

    Raises:
        CheckpointError: if it is missing, damaged, or not one of seglight.
    """
    return _READERS[path.suffix](path)


def open_exported(path: Path, trust: bool = False) -> Runtime:
    """Return the runtime of an exported file, which loads the file when it first runs.

    Args:
        path: the file.
        trust: whether it is your own; torch's programs are only loaded then, since loading one can run code.

    Raises:
        CheckpointError: if it is missing, damaged, not one of seglight, or not trusted where it must be.
    """
    if path.suffix == '.pt2':
        return program_file.ProgramFile(path, trust)
    return onnx_file.OnnxFile(path) if path.suffix == '.onnx' else openvino_file.OpenvinoFile(path)


def files(path: Path) -> list[Path]:
    """Return a file and what belongs to it."""
    return [path, path.with_suffix('.bin')] if path.suffix == '.xml' else [path]


def checksum(path: Path) -> int:
    """Return a checksum of an exported file and what belongs to it."""
    found = 0
    for each in files(path):
        with each.open('rb') as file:
            while part := file.read(1 << 20):
                found = zlib.crc32(part, found)
    return found


def label(path: Path) -> str:
    """Return a name for what is made with a checkpoint: the stem, and for an exported file its format."""
    return f'{path.stem}_{path.suffix[1:]}' if is_exported(path) else path.stem
