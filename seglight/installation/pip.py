"""Running pip: quiet while all is well, with progress where it takes long, and one line where it fails."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from seglight.errors import SetupError

PATIENCE = 5.0  #: seconds without a word
INTERVAL = 15.0  #: seconds from line to line where the output is no terminal

#: What pip's output holds when it fails, and the cause and cure to report.
CAUSES = (
    (
        r'Expected sha256 (?P<wanted>\w+)\s+Got\s+(?P<found>\w+)',
        'a file must have the SHA-256 {wanted}, got {found}; delete it, or clear the cache (pip cache purge)',
    ),
    (r'No space left on device|not enough space', 'the disk is full; make room and try again'),
    (r'Read-only file system', 'the environment {prefix} is read-only; use a virtual environment that can be written'),
    (
        r'externally-managed-environment',
        'the system manages {prefix}; use a virtual environment (python -m venv .venv)',
    ),
    (
        r'Permission denied|WinError 5\b',
        'the environment {prefix} cannot be written; use a virtual environment of your own',
    ),
    (
        r'NewConnectionError|NameResolutionError|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError'
        r'|Network is unreachable|name resolution|error sending request|dns error',
        'the package index does not answer; check the network and try again, or take a folder of files (--find-links)',
    ),
    (
        r'No matching distribution found for (?P<wanted>\S+)',
        'no package index or folder in use has {wanted}; give a folder that has it (--find-links), '
        'or check the settings (pip config list)',
    ),
)


def pip_command(python: str = sys.executable) -> list[str]:
    """Return the command that starts pip for an interpreter, from Python's own copy where none is installed.

    Raises:
        SetupError: if there is no pip.
    """
    if python == sys.executable and importlib.util.find_spec('pip'):
        return [python, '-m', 'pip']
    if bundled := bundled_pip():
        return [python, f'{bundled}/pip']
    raise SetupError('pip is missing; install it (python -m ensurepip) and try again')


def bundled_pip() -> Path | None:
    """Return the wheel of pip that comes with this Python, None where it has none."""
    ensurepip = importlib.util.find_spec('ensurepip')
    folders = [Path(ensurepip.origin).parent / '_bundled'] if ensurepip and ensurepip.origin else []
    if debian := sysconfig.get_config_var('WHEEL_PKG_DIR'):
        folders.append(Path(debian))
    return next((wheel for folder in folders for wheel in sorted(folder.glob('pip-*.whl'))), None)


def run_pip(doing: str, arguments: Sequence[str], python: str = sys.executable, **environment: str) -> None:
    """Run a command of pip; its output shows only in the error that it ends with.

    Args:
        doing: what is done, such as `installing torch`, for the progress and the error.
        arguments: of pip.
        python: the interpreter that packages are installed for.
        environment: variables for pip, beside this process's.

    Raises:
        SetupError: if pip fails.
    """
    quiet = {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_ROOT_USER_ACTION': 'ignore', 'PIP_NO_INPUT': '1'}
    fast = {'PIP_RETRIES': os.environ.get('PIP_RETRIES', '2'), 'PIP_PROGRESS_BAR': 'off'}
    run(doing, [*pip_command(python), *arguments], {**quiet, **fast, **environment})


def run(doing: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run an installer, pip or uv; its output shows only in the error that it ends with.

    Raises:
        SetupError: if it fails or does not start.
    """
    env = {**os.environ, 'PYTHONIOENCODING': 'utf-8', **environment}
    try:
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding='utf-8',
            errors='replace',
            env=env,
        ) as process:
            assert process.stdout
            output = _watched(process.stdout, doing)
    except OSError as error:
        raise SetupError(f'{doing} failed: {error}') from error
    if process.returncode:
        raise SetupError(f'{doing} failed: {cause(output)}')


def cause(output: str) -> str:
    """Return why an installer failed, in one line."""
    for pattern, text in CAUSES:
        if found := re.search(pattern, output):
            return text.format(prefix=sys.prefix, **found.groupdict())
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r'(ERROR|error)\b', line)]
    return re.sub(r'^(ERROR|error): ', '', (errors or lines or ['no output'])[-1])


def _watched(lines: Iterable[str], doing: str) -> str:
    """Return all lines; the newest of them is shown while they take long."""
    output: list[str] = []
    over = threading.Event()
    watch = threading.Thread(target=_report, args=(doing, output, over), daemon=True)
    watch.start()
    try:
        output.extend(lines)
    finally:
        over.set()
        watch.join()
    return ''.join(output)


def _report(doing: str, output: list[str], over: threading.Event) -> None:
    """Say what goes on until it is over: each second on a terminal's line, else in a line now and then."""
    start, terminal = time.monotonic(), sys.stderr.isatty()
    wait, shown = PATIENCE, False
    while not over.wait(wait):
        line = f'seglight: {doing}: {time.monotonic() - start:.0f} s{_newest(output)}'
        print(f'\r\033[K{line[:100]}' if terminal else line, end='' if terminal else '\n', file=sys.stderr, flush=True)
        wait, shown = (1.0 if terminal else INTERVAL), True
    if shown and terminal:
        print('\r\033[K', end='', file=sys.stderr, flush=True)


def _newest(output: list[str]) -> str:
    """Return what pip does now, in two words: `, Downloading torch-2.13.0...`."""
    steps = ('Collecting', 'Downloading', 'Installing', 'Processing', 'Obtaining')
    words = next((line.split() for line in reversed(output.copy()) if line.strip().startswith(steps)), [])
    return f', {" ".join(words[:2])}' if words else ''
