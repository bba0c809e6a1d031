"""Read checkpoints and files of weights without running code from them, and write them atomically.

Of seglight, this module imports only the errors and what checks a file, so that every module that reads a checkpoint
can use it.
"""

from __future__ import annotations

import os
import pickle
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor

from seglight import numpy_values, pickle_scan
from seglight.errors import CheckpointError, one_line, say
from seglight.plain_values import check_values
from seglight.saved_zip import check_zip
from seglight.zip_directory import ERRORS, check_methods

SAFETENSORS = '.safetensors'


def read_file(path: Path, trust: bool = False) -> Any:
    """Load a `.safetensors` file, or a file of `torch.save` in its zip format or the format before torch 1.6.

    Tensors are loaded to the CPU; those of a zip stay on disk until they are used. Only tensors, plain containers,
    numbers, text, and numpy's scalars and arrays, which mmcv stores, are unpickled.

    Args:
        path: the file.
        trust: unpickle everything, which runs the code that the file names. Only for your own files.

    Raises:
        CheckpointError: if the file is damaged, or loading it would run code.
    """
    if path.suffix == SAFETENSORS:
        with opened(path):  # a regular file
            pass
        with _readable(path):
            return load_file(path)
    with opened(path) as file:
        return read_saved(file, path, trust, mapped=True)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file of weights.

    Raises:
        CheckpointError: if it is not a regular file, or cannot be opened.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(f'{path} is not a checkpoint: it is not a regular file')
        file = path.open('rb')
    except FileNotFoundError as error:
        raise CheckpointError(f'{path} was not found') from error
    except OSError as error:
        raise CheckpointError(f'{path} cannot be read: {error.strerror}') from error
    with file:
        yield file


def read_saved(file: BinaryIO, path: Path, trust: bool = False, mapped: bool = False) -> Any:
    """Load a file of `torch.save`; unless it is trusted, values larger than the file are an error.

    Args:
        file: the open file.
        path: the path of the file.
        trust: as for `read_file`.
        mapped: leave the tensors of a zip on disk until they are used; torch opens the file again for this.

    Raises:
        CheckpointError: if the file is damaged, or loading it would run code.
    """
    with _readable(path):
        if path.stat().st_size == 0:
            raise CheckpointError(f'{path} is not a checkpoint: it is empty')
        zipped = _is_zip(file)
        if not trust:
            (check_zip if zipped else _check_legacy)(file, path)
        file.seek(0)
        mapped = mapped and zipped
        with torch.serialization.safe_globals(numpy_values.safe_globals()):
            values = torch.load(path if mapped else file, map_location='cpu', weights_only=not trust, mmap=mapped)
        if not trust:
            check_values(values, path)
        return values


def _check_legacy(file: BinaryIO, path: Path) -> None:
    """Check the pickles before the tensors of a file in the format before torch 1.6.

    They are a magic number, a version, the sizes of numbers, the contents, and the names of the tensors.
    """
    file.seek(0)
    for _ in range(5):
        pickle_scan.check_pickle(file, path)


def check_records(file: BinaryIO, path: Path) -> None:
    """Check each record of a zip of `torch.save` against its checksum.

    Raises:
        CheckpointError: if the file is empty, truncated or changed.
    """
    if path.stat().st_size == 0:
        raise CheckpointError(f'{path} is empty')
    check_zip(file, path)
    check_checksums(file, path)


def check_checksums(file: BinaryIO, path: Path) -> None:
    """Check each record of a zip against its checksum.

    Raises:
        CheckpointError: if the file is truncated or changed.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            check_methods(archive)
            damaged = archive.testzip()
    except (OSError, *ERRORS) as error:
        raise CheckpointError(f'{path} is damaged or truncated') from error
    if damaged:
        raise CheckpointError(f'{path} is damaged: the checksum of {damaged} is wrong')


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn any error of torch and safetensors for a file into a `CheckpointError`."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f'{path} was not found') from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(_refusal(path, str(error))) from error
    except (AttributeError, ImportError) as error:  # with trust: a class that is not installed
        raise CheckpointError(f'{path} cannot be read: {one_line(error)}') from error
    except Exception as error:  # they can raise anything for damaged bytes
        raise CheckpointError(f'{path} is not a checkpoint, or it is truncated or damaged') from error


def read_address(address: str, folder: str | None = None) -> Any:
    """Download a file by `http://` or `https://`, keep it, and load it by the rules of `read_file`.

    A file with a hash in its name, as published ones have, is kept where `torch.hub.load_state_dict_from_url` keeps it,
    another one in a folder for its address. That function takes any file of the same name, and extracts a zip with one
    file, which could replace another file there.

    Args:
        address: the URL of a file of `torch.save`.
        folder: the folder for downloads, None for torch's own (`TORCH_HOME`).

    Raises:
        CheckpointError: if it is damaged, or loading it would run code.
        OSError: if it cannot be downloaded.
    """
    kept = Path(folder or Path(torch.hub.get_dir(), 'checkpoints'), _kept_name(address))
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        say(f'Downloading {address} to {kept}')
        torch.hub.download_url_to_file(address, str(kept))  # renames the complete file
    return read_file(kept)


def _kept_name(address: str) -> str:
    """Return the path of a downloaded file in the folder for downloads, the same only for the same contents."""
    name = Path(urlparse(address).path).name
    if re.search(r'-(?=\d*[a-f])[0-9a-f]{8,}\.', name):  # with a letter: a date is no hash
        return name
    return f'{sha256(address.encode()).hexdigest()[:16]}/{name}'


def state_dict(entries: Any, path: Path) -> dict[str, Tensor]:
    """Return the weights in a result of `read_file`: below a key such as `state_dict` or `model`, or at the top.

    Raises:
        CheckpointError: if there are none.
    """
    for name in ('state_dict', 'state_dict_ema', 'model', 'model_state', 'module'):
        if isinstance(entries, Mapping) and isinstance(entries.get(name), Mapping):
            entries = entries[name]
            break
    weights = entries if isinstance(entries, Mapping) else {}
    tensors = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f'{path} contains no weights')
    return tensors


def write_checkpoint(entries: Any, path: Path) -> None:
    """Write atomically with `torch.save`: to a temporary file in the same folder, flushed to the disk, then renamed.

    The zip contains a CRC-32 of each record for `check_records`.

    Raises:
        CheckpointError: if it cannot be written; an existing file stays unchanged.
    """
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open('wb') as file:
            torch.save(entries, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns an OSError into a RuntimeError
        temporary.unlink(missing_ok=True)
        cause = error if isinstance(error, OSError) else error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else one_line(error)
        raise CheckpointError(f'{path} cannot be written: {reason}; earlier checkpoints are unchanged') from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_name(path: Path) -> Path:
    """Return the name of a checkpoint while it is written; the next write replaces a leftover file."""
    return path.with_name(f'.{path.name}.part')


def _flush_folder(folder: Path) -> None:
    """Flush the file names in a folder to the disk, if the system opens folders; Windows does not."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_zip(file: BinaryIO) -> bool:
    """Return whether a file begins like a zip, which is also true for a truncated zip."""
    file.seek(0)
    return file.read(4) == b'PK\x03\x04'


def _refusal(path: Path | str, reason: str) -> str:
    """Return the message about an object whose loading would run code, which torch's message names."""
    match = re.search(r'GLOBAL ([\w.]+)', reason)
    if match is None:
        return f'{path} is not a checkpoint: it is damaged, or torch.save did not write it'
    return pickle_scan.refusal(path, match[1])
