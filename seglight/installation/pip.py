"""Run pip quietly, with progress if it takes long, and one line if it fails."""

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

#: pip's settings that install elsewhere than in the interpreter's environment, or nothing; pip ignores empty ones.
ELSEWHERE = ('PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT', 'PIP_USER', 'PIP_PYTHON', 'PIP_DRY_RUN')

PATIENCE = 5.0  #: seconds before progress is shown
INTERVAL = 15.0  #: seconds between lines if the output is not a terminal

#: Patterns in the output of a failed installer, and the cause and cure to report, where files are to be written.
UNWRITABLE = (
    (r'No space left on device|not enough space', 'the disk is full; free some space and try again'),
    (r'Disk quota exceeded', 'the disk quota is used up; free some space and try again'),
    (r'File too large', 'this shell limits the size of files; remove the limit (ulimit -f unlimited) and try again'),
    (r'Read-only file system', 'the environment {prefix} is read-only; use a writable virtual environment'),
    (
        r'externally-managed-environment',
        'the system manages {prefix}; use a virtual environment (python -m venv .venv)',
    ),
    (
        r'Permission denied|WinError 5\b',
        'the environment {prefix} cannot be written; use your own virtual environment',
    ),
)

_WRONG_FILE = r'\S+ from (file://)?(?P<file>\S+?):?( \(from .*)?\s+Expected sha256 '

#: The same for the files to install.
CAUSES = (
    (
        rf'{_WRONG_FILE}(?P<right>\w+)\s+Got\s+(?P<got>\w+)',
        '{file} must have the SHA-256 {right}, got {got}; delete the file, or clear the cache (pip cache purge)',
    ),
    (
        rf'{_WRONG_FILE}\w+(\s+Expected\s+or \w+)+\s+Got\s+(?P<got>\w+)',
        '{file} must have a pinned SHA-256, got {got}; delete the file, or clear the cache (pip cache purge)',
    ),
    (
        r'NewConnectionError|NameResolutionError|ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError'
        r'|Network is unreachable|name resolution|error sending request|dns error',
        'the package index does not respond; check the network and try again, '
        'or name a folder of files in PIP_FIND_LINKS',
    ),
    (
        r'No matching distribution found for (?P<package>mmcv-full\S*)',
        'no configured package index or folder has {package}; save it in the folder on a machine with a network '
        '(seglight setup --download FOLDER), or check the settings (pip config list)',
    ),
    (
        r'No matching distribution found for (?P<package>\S+)',
        'no configured package index or folder has {package}; name a folder that has it in PIP_FIND_LINKS, '
        'or check the settings (pip config list)',
    ),
)


class UnwritableError(SetupError):
    """An environment that no installer can write to."""


def pip_command(python: str = sys.executable) -> list[str]:
    """Return the command that starts pip for an interpreter; uses Python's bundled copy if pip is not installed.

    Raises:
        SetupError: if there is no pip.
    """
    if python == sys.executable and importlib.util.find_spec('pip'):
        return [python, '-m', 'pip']
    if bundled := bundled_pip():
        return [python, f'{bundled}/pip']
    raise SetupError('pip is missing; install it (python -m ensurepip) and try again')


def bundled_pip() -> Path | None:
    """Return the pip wheel bundled with this Python, None if there is none."""
    ensurepip = importlib.util.find_spec('ensurepip')
    folders = [Path(ensurepip.origin).parent / '_bundled'] if ensurepip and ensurepip.origin else []
    if debian := sysconfig.get_config_var('WHEEL_PKG_DIR'):
        folders.append(Path(debian))
    return next((wheel for folder in folders for wheel in sorted(folder.glob('pip-*.whl'))), None)


def run_pip(doing: str, arguments: Sequence[str], python: str = sys.executable, **environment: str) -> None:
    """Run pip; its output is only shown if it fails.

    Args:
        doing: a description for progress and errors, for example `installing torch`.
        arguments: of pip.
        python: the interpreter to install packages for.
        environment: additional environment variables for pip.

    Raises:
        SetupError: if pip fails.
    """
    quiet = {'PIP_DISABLE_PIP_VERSION_CHECK': '1', 'PIP_ROOT_USER_ACTION': 'ignore', 'PIP_NO_INPUT': '1'}
    retries = max(os.environ.get('PIP_RETRIES') or '2', '1')  # without one, pip does not print that an index is down
    fast = {'PIP_RETRIES': retries, 'PIP_PROGRESS_BAR': 'off'}
    here = dict.fromkeys(ELSEWHERE, '')
    run(doing, [*pip_command(python), *arguments], {**quiet, **fast, **here, **environment})


def run(doing: str, command: Sequence[str], environment: dict[str, str]) -> None:
    """Run an installer, pip or uv; its output is only shown if it fails.

    Raises:
        UnwritableError: if it cannot write to the environment.
        SetupError: if it fails for another reason or does not start.
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
        raise failure(doing, output)


def failure(doing: str, output: str) -> SetupError:
    """Return why an installer failed, in one line."""
    for error, causes in ((UnwritableError, UNWRITABLE), (SetupError, CAUSES)):
        for pattern, text in causes:
            if found := re.search(pattern, output):
                return error(f'{doing} failed: {text.format(prefix=sys.prefix, **found.groupdict())}')
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r'(ERROR|error)\b(?!: Exception:$)', line)]  # a traceback follows
    newest = re.sub(r'^(ERROR|error): ', '', (errors or lines or ['no output'])[-1])
    return SetupError(f'{doing} failed: {newest}')


def _watched(lines: Iterable[str], doing: str) -> str:
    """Return all lines, and show progress with the newest line if they take long."""
    output: list[str] = []
    finished = threading.Event()
    watch = threading.Thread(target=_report, args=(doing, output, finished), daemon=True)
    watch.start()
    try:
        output.extend(lines)
    finally:
        finished.set()
        watch.join()
    return ''.join(output)


def _report(doing: str, output: list[str], finished: threading.Event) -> None:
    """Print progress until finished: every second in one line of a terminal, otherwise a line every `INTERVAL`."""
    start, terminal = time.monotonic(), sys.stderr.isatty()
    wait, shown = PATIENCE, False
    while not finished.wait(wait):
        line = f'seglight: {doing}: {time.monotonic() - start:.0f} s{_newest(output)}'
        print(f'\r\033[K{line[:100]}' if terminal else line, end='' if terminal else '\n', file=sys.stderr, flush=True)
        wait, shown = (1.0 if terminal else INTERVAL), True
    if shown and terminal:
        print('\r\033[K', end='', file=sys.stderr, flush=True)


def _newest(output: list[str]) -> str:
    """Return pip's current step in two words: `, Downloading torch-2.13.0...`."""
    steps = ('Collecting', 'Downloading', 'Installing', 'Processing', 'Obtaining')
    words = next((line.split() for line in reversed(output.copy()) if line.strip().startswith(steps)), [])
    return f', {" ".join(words[:2])}' if words else ''
