"""The border of the command line: turn every error into one line and an exit status."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from seglight import styles
from seglight.errors import UserError, harmless, one_line
from seglight.machine_errors import SMALLER, SYSTEM_CURES, cure_of_machine
from seglight.masking import masked_text
from seglight.terminal import write

#: Exit status of an unexpected error: a bug in seglight, in a library, or in a user's class.
UNEXPECTED = 1


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
        return f'out of memory{_detail(error)}; {SMALLER}', UserError.status
    if isinstance(error, ModuleNotFoundError) and error.name:
        name = error.name.split('.')[0]
        return f"the package '{name}' is not installed in {sys.prefix}: {error}; install it there", UserError.status
    if isinstance(error, OSError) and error.errno is not None:
        return _system_error(error), UserError.status
    behind = error.__context__
    if isinstance(error, RuntimeError) and isinstance(behind, OSError) and behind.errno in SYSTEM_CURES:
        return _system_error(behind), UserError.status  # torch's writer of zips raises its own error after it
    if cure := cure_of_machine(error):
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
