"""Where files go, and writing them atomically, so that no half-written file is ever visible."""

from __future__ import annotations

import csv
import errno
import glob
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from seglight.errors import OutputError

#: The parent of the run folders, below the working folder; mmseg's name for it.
WORK_DIRS = Path('work_dirs')

#: What an address of pretrained weights in a config begins with, where it means a file of `weights_folder`.
WEIGHTS_SCHEME = 'weights://'

#: What the names of the checkpoints that a run can resume from begin with, before a number.
RESUMABLE = ('epoch', 'iter')

#: The start of a path below a home folder.
_HOME = re.compile(r'~[\w.-]*/')


def in_work_dirs(name: str) -> tuple[Path, Path]:
    """Return the two paths that the name of a run or a checkpoint can mean: itself, and one below `WORK_DIRS`."""
    return Path(name), WORK_DIRS / name


def cache_dir() -> Path:
    """Return the folder for files that can be recreated: `$XDG_CACHE_HOME/seglight`, or `~/.cache/seglight`."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'seglight'


def weights_folder() -> Path:
    """Return the folder that `seglight convert` writes to by default, and `weights://` means."""
    return cache_dir() / 'weights'


def expand_home(text: str) -> str:
    """Return a path, or a flag with a path after its equals sign, with `~` expanded."""
    name, equals, value = text.partition('=') if text.startswith('-') else ('', '', text)
    if not _HOME.match(value):
        return text
    return f'{name}{equals}{os.path.expanduser(value)}'  # noqa: PTH111  (pathlib raises for an unknown user)


def as_bytes(text: str) -> bytes:
    """Return a text in UTF-8; file names in it that are not valid UTF-8 keep their bytes."""
    return text.encode(errors='surrogateescape')


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV, each with a line feed at its end."""
    file = io.StringIO()
    csv.writer(file, lineterminator='\n').writerows(rows)
    return file.getvalue()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name next to it, then rename it; creates the folder if needed."""
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing under a temporary name next to it, and rename it at the end; creates its folder.

    After an exception there is no new file; an existing file stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A random name, since a suffix could make a long name too long; the kernel applies the umask.
    temporary = path.with_name(f'.{secrets.token_hex(8)}.tmp')
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, 'O_BINARY', 0), 0o666)
    try:
        with os.fdopen(handle, 'wb') as file:
            yield file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def made_atomically(folder: Path) -> Iterator[Path]:
    """Yield an empty folder under a temporary name, and rename it at the end to `folder`, which must not exist yet.

    After an exception neither of them exists.
    """
    temporary = folder.with_name(f'.{secrets.token_hex(8)}.tmp')
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary)
        raise


@contextmanager
def writing_to(folder: Path, cure: str) -> Iterator[None]:
    """Turn an error of the file system into one that names the file (or else the folder) and the cure.

    Raises:
        OutputError: for any `OSError`.
    """
    try:
        yield
    except OSError as error:
        message = f'{error.filename or folder} cannot be written: {error.strerror or error}; {cure}'
        raise OutputError(message) from error


def write_new(files: dict[Path, bytes]) -> None:
    """Write files that must not exist yet, except with the same content.

    Raises:
        FileExistsError: if one exists with other content; then none is written.
    """
    for path, data in files.items():
        if path.exists() and not _contains(path, data):
            raise FileExistsError(errno.EEXIST, 'it exists with other content; choose another name', str(path))
    for path, data in files.items():
        write_atomically(path, data)


def _contains(path: Path, data: bytes) -> bool:
    """Return whether a path is a regular file with this content; reading a pipe could block forever."""
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def append_once(path: Path, *lines: str) -> bool:
    """Append those lines to a text file that it does not contain yet; safe with several processes.

    Returns:
        whether any line was missing; true if the file cannot be written.
    """
    try:
        with _locked(path), path.open('a+b') as file:
            file.seek(0)
            existing = set(file.read().splitlines())
            new = [line for line in map(as_bytes, dict.fromkeys(lines)) if line not in existing]
            file.write(b''.join(line + b'\n' for line in new))
    except OSError:
        return True
    return bool(new)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock between processes on a path; without effect if the file system has no locks."""
    if not path.parent.is_dir():  # FileLock would create it
        raise FileNotFoundError(errno.ENOENT, 'no such folder', str(path.parent))
    lock = FileLock(path.with_name(f'.{path.name}.lock'))
    with suppress(NotImplementedError):  # at worst, two processes write the same line
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def link(path: Path, target: Path) -> None:
    """Make `path` a link to `target`, replacing an existing file; a copy if links are not possible.

    Args:
        path: the link to create.
        target: an existing file, absolute or relative to the folder of `path`, as a symbolic link holds it.
    """
    temporary = path.with_name(f'.{secrets.token_hex(8)}.tmp')
    try:
        temporary.symlink_to(target)
    except (OSError, NotImplementedError):  # Windows without the privilege, file systems without links
        try:
            temporary.hardlink_to(path.parent / target)
        except (OSError, NotImplementedError):
            shutil.copyfile(path.parent / target, temporary)
    temporary.replace(path)


def claim_run_folder(root: Path, name: str = 'exp') -> Path:
    """Create and return the next free folder `{root}/{name}{N}`, N from 1; safe if several processes start at once."""
    root.mkdir(parents=True, exist_ok=True)
    suffixes = (path.name.removeprefix(name) for path in root.glob(f'{name}*'))
    number = max((int(suffix) for suffix in suffixes if suffix.isdigit()), default=0) + 1
    while True:
        folder = root / f'{name}{number}'
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def newest(paths: Iterable[Path]) -> Path | None:
    """Return the most recently written of some files, None without any; ignores links."""
    return max(
        (path for path in paths if not path.is_symlink()), key=lambda path: path.stat().st_mtime_ns, default=None
    )


def resumable(folder: Path) -> list[Path]:
    """Return the checkpoints in the folder of a run that it can resume from exactly, each written between two steps.

    Files with more in their names, such as `epoch_5_copy.ckpt`, are not the run's.
    """
    return [path for unit in RESUMABLE for path in numbered(folder, f'{unit}_', '.ckpt')]


def numbered(folder: Path, start: str, end: str) -> list[Path]:
    """Return the files in a folder whose names are a start, a number and an end."""
    found = folder.glob(f'{glob.escape(start)}*{glob.escape(end)}')
    return [path for path in found if path.name[len(start) : -len(end)].isdecimal()]
