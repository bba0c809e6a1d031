"""Check that a zip is one of `torch.save`, so that Python's reader, which checks it, and torch's find the same in it.

The two look for the directory in different places, disagree on what is an error, and torch expands compressed records
before their size can be checked. A zip of `torch.save` leaves no choice: it stores its records, has one directory at
its end and no comment. Of this project, the module imports only the errors and `pickle_scan`.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from seglight.errors import CheckpointError
from seglight.pickle_scan import check_pickle

#: Limit of the pickle, in bytes; it holds everything but the tensors' data; 0.1 MB is usual.
MOST_PICKLED = 16 << 20

#: The end of a zip: its signature, numbers of disks and records, size and place of the directory, size of the comment.
_END = struct.Struct('<4s4H2IH')

#: In large files before that: the same in 64 bits, and its place.
_END_64 = struct.Struct('<4sQ2H2I4Q')
_PLACE_64 = struct.Struct('<4sIQI')


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
            if not _directory_is_last(file, archive.start_dir):
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


def _directory_is_last(file: BinaryIO, start: int) -> bool:
    """Return whether a zip names the place where Python found its directory, and nothing follows that but its end."""
    end = file.seek(-_END.size, 2)
    signature, *_, size, place, comment = _END.unpack(file.read(_END.size))
    if signature != b'PK\5\6' or comment:
        return False
    before = end - _PLACE_64.size - _END_64.size
    file.seek(max(before, 0))
    large, locator = (part.unpack(file.read(part.size)) for part in (_END_64, _PLACE_64))
    if before >= 0 and locator[0] == b'PK\6\7':
        if large[0] != b'PK\6\6' or locator[2] != before:
            return False
        end, size, place = before, large[-2], large[-1]
    return bool(place == start == end - size)
