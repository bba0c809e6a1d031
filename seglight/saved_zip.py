"""Check that a zip is one of `torch.save`, so that Python's reader, which checks it, and torch's find the same in it.

The two look for the directory in different places, disagree on what is an error, and torch expands compressed records
before their size can be checked. A zip of `torch.save` leaves no choice: it stores its records, has one directory at
its end and no comment. Of this project, the module imports only the errors, `pickle_scan` and `zip_directory`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from seglight.errors import CheckpointError
from seglight.pickle_scan import check_pickle
from seglight.zip_directory import last_directory

#: Limit of the pickle, in bytes; it holds everything but the tensors' data; 0.1 MB is usual.
MOST_PICKLED = 16 << 20


def check_zip(file: BinaryIO, path: Path) -> None:
    """Reject a zip that `torch.save` cannot have written, and one whose pickle is not allowed.

    Args:
        file: the open file.
        path: its path, for the message.

    Raises:
        CheckpointError: if the zip is rejected.
    """
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
            directory = last_directory(file)
            if directory is None or directory.start != archive.start_dir:
                raise CheckpointError(f'{path} is refused: it is a zip, but not one of torch.save')
            _check_records(records, size, path)
            pickles = [record for record in records if record.filename.lower().endswith('.pkl')]
            if len(pickles) != 1:
                raise zipfile.BadZipFile
            check_pickle(io.BytesIO(archive.read(pickles[0])), path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, struct.error) as error:
        raise CheckpointError(f'{path} is not a checkpoint, or it is truncated or damaged') from error


def _check_records(records: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Check the names and sizes of the records; torch ignores the case of names."""
    claimed = sum(record.file_size for record in records)
    if claimed > size:
        raise CheckpointError(f'{path} is refused: it has {size:,} bytes, but its records claim {claimed:,}')
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise CheckpointError(f'{path} is refused: its records are compressed, as torch.save does not write them')
    if len({record.filename.lower() for record in records}) < len(records):
        raise CheckpointError(f'{path} is refused: two of its records have the same name')
    pickled = max((record.file_size for record in records if record.filename.lower().endswith('.pkl')), default=0)
    if pickled > MOST_PICKLED:
        raise CheckpointError(f'{path} is refused: {pickled:,} bytes of it are not tensors, more than {MOST_PICKLED:,}')
