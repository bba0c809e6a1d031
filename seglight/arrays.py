"""Read `.npz` files; the sizes that they claim are checked before memory is allocated."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from seglight.zip_directory import check_methods

#: Exceptions raised by reading a damaged or malicious file.
ERRORS = (
    *(OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, SyntaxError, MemoryError, OverflowError),
    *(NotImplementedError, RecursionError, zipfile.BadZipFile, zlib.error),
)

_SUFFIX = '.npy'


def load_arrays(path: Path, max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays in an `.npz` file; nothing is unpickled.

    Args:
        path: the file.
        max_bytes: limit for all arrays together, uncompressed.

    Raises:
        ValueError: if the file claims more, or the size of an array differs from that of its record.
        ERRORS: for a damaged file.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    with zipfile.ZipFile(path) as file:
        check_methods(file)
        records = file.infolist()
        if sum(record.file_size for record in records) > max_bytes:
            raise ValueError(f'it claims to hold more than {max_bytes:,} bytes')
        for record in records:
            if not record.filename.endswith(_SUFFIX):
                continue
            with file.open(record) as stream:
                _check_header(stream, record.file_size)
            with file.open(record) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
            arrays[record.filename.removesuffix(_SUFFIX)] = array
    return arrays


def _check_header(stream: IO[bytes], size: int) -> None:
    """Reject an array whose size differs from the rest of its record."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f'an array claims the shape {shape}, which does not match its {size:,} bytes')
