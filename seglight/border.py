"""The border of the command line: turn every error into one line and an exit status."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from seglight import styles
from seglight.errors import UserError, harmless, one_line
from seglight.masking import masked_text
from seglight.terminal import write

#: Exit status of an unexpected error: a bug in seglight, in a library, or in a user's class.
UNEXPECTED = 1

_ELSEWHERE = 'or write elsewhere (--work-dir, --output)'
_SMALLER = 'give a smaller data.batch_size, smaller crops or images, or fewer data.num_workers'

#: Errors of the operating system, and their cures.
SYSTEM_CURES = {
    errno.ENOSPC: f'free some space, {_ELSEWHERE}',
    errno.EDQUOT: f'free some space, {_ELSEWHERE}',
    errno.EFBIG: f'raise the largest size of a file (ulimit -f), {_ELSEWHERE}',
    errno.EACCES: f'change the permissions, {_ELSEWHERE}',
    errno.EPERM: f'change the permissions, {_ELSEWHERE}',
    errno.EROFS: 'write elsewhere (--work-dir, --output)',
    errno.EMFILE: 'raise the number of open files (ulimit -n), or give fewer data.num_workers',
    errno.ENFILE: 'raise the number of open files of the system, or give fewer data.num_workers',
    errno.EAGAIN: 'raise the number of processes (ulimit -u), or give fewer data.num_workers',
    errno.ENOMEM: _SMALLER,
    errno.EEXIST: 'give another name, or remove that file',
    errno.ENAMETOOLONG: 'give a shorter name',
    errno.ENOTDIR: 'give the path of a folder',
    errno.EISDIR: 'give the path of a file',
}

#: Messages of libraries that run out of a resource, and their cures.
RUNTIME_CURES = (
    (
        r'shared memory\(shm\)|shm_open|/dev/shm',
        '/dev/shm is full: free it, increase it (in a container with --shm-size), or set data.num_workers: 0',
    ),
    (r'out of memory|can.t allocate memory|Insufficient memory|Cannot allocate memory', _SMALLER),
    (r'PytorchStreamWriter failed writing|No space left on device', SYSTEM_CURES[errno.ENOSPC]),
    (r'DataLoader worker .*(killed by signal|exited unexpectedly)', f'the system killed it; {_SMALLER}'),
    (
        r'Connection closed by peer|Connection reset by peer',
        'another process of this run has ended, and its last line says why',
    ),
    (r'received 0 items of ancdata|Too many open files', SYSTEM_CURES[errno.EMFILE]),
)  # fmt: skip


def debugs(argv: Sequence[str]) -> bool:
    """Return whether a command line contains `--debug`."""
    return any(word.split('=')[0] == '--debug' for word in argv)


def report(error: Exception, argv: Sequence[str]) -> int:
    """Print the error that ended a command to stderr, and return the exit status.

    With `--debug` the traceback comes first; otherwise that of an unexpected error goes to a file.

    Args:
        error: the error.
        argv: the command line.
    """
    debug = debugs(argv)
    if debug:
        traceback.print_exception(error)
    line, status = explain(error)
    if status == UNEXPECTED:
        line += f'; {"see above" if debug else _kept(error)}; please report it if it is not your own code or config'
    write(styles.of_error(f'{_rank()}{harmless(line)}'), sys.stderr)
    return status


def _rank() -> str:
    """Return which of several processes this is, as torchrun and srun tell it; empty for a single one."""
    for rank, processes in (('RANK', 'WORLD_SIZE'), ('SLURM_PROCID', 'SLURM_NTASKS')):
        if os.environ.get(processes, '1') != '1' and rank in os.environ:
            return f'rank {os.environ[rank]} on {socket.gethostname()}: '
    return ''


def explain(error: Exception) -> tuple[str, int]:
    """Return an error as one line, and the exit status."""
    if isinstance(error, UserError):
        return str(error), error.status
    if isinstance(error, MemoryError):
        return f'out of memory{_detail(error)}; {_SMALLER}', UserError.status
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.split('.')[0]
        return f"the package '{name}' is not installed in {sys.prefix}: {error}; install it there", UserError.status
    if isinstance(error, OSError) and error.errno is not None:
        return _system_error(error), UserError.status
    behind = error.__context__
    if isinstance(error, RuntimeError) and isinstance(behind, OSError) and behind.errno in SYSTEM_CURES:
        return _system_error(behind), UserError.status  # torch's writer of zips raises its own error after it
    for pattern, cure in RUNTIME_CURES:
        if re.search(pattern, str(error)):
            return f'{essence(error)}; {cure}', UserError.status
    return f'unexpected {type(error).__name__} {_place(error)}{_detail(error)}', UNEXPECTED


def essence(error: BaseException) -> str:
    """Return a message in one line; of a traceback that a loader's worker wrapped it in, the last line."""
    lines = str(error).strip().splitlines()
    if any('Traceback (most recent call last)' in line for line in lines):
        lines = lines[-1:]
    text = one_line(' '.join(lines))
    return text if len(text) <= 300 else f'{text[:300]} ...'


def _system_error(error: OSError) -> str:
    """Return an error of the operating system with its file and cure."""
    names = ' -> '.join(repr(str(name)) for name in (error.filename, error.filename2) if name is not None)
    cure = SYSTEM_CURES.get(error.errno or 0, '--debug shows where')
    return f'{f"{names}: " if names else ""}{error.strerror or one_line(error)}; {cure}'


def _detail(error: Exception) -> str:
    """Return a colon and the message of an error, or an empty string."""
    text = essence(error)
    return f': {text}' if text else ''


def _place(error: Exception) -> str:
    """Return where an error was raised: the package, or the file if it is not in a package."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    package = _package(frame)
    return f'in {package}' if package else f'in {frame.f_code.co_filename}, line {line}'


def _package(frame: FrameType) -> str | None:
    """Return the installed package that a frame's code belongs to, or `seglight`; None for other files."""
    name = str(frame.f_globals.get('__name__')).split('.')[0]
    path = Path(frame.f_code.co_filename)
    return name if name == 'seglight' or 'site-packages' in path.parts or not path.is_absolute() else None


def _kept(error: Exception) -> str:
    """Write the traceback to a file, and return where it is."""
    try:
        handle, name = tempfile.mkstemp(prefix='seglight_', suffix='.txt')
        with os.fdopen(handle, 'w', encoding='utf-8', errors='backslashreplace') as file:
            file.write(masked_text(''.join(traceback.format_exception(error))))
    except OSError:
        return '--debug shows the traceback'
    return f'the traceback is in {name}'
