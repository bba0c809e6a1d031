"""Running uv with pip's settings: it installs in seconds what takes pip a minute, where it is at hand."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from seglight.installation.pip import pip_command, run

#: A setting of pip, the variable of uv for it, and what separates several values there.
SETTINGS = (
    ('index-url', 'UV_DEFAULT_INDEX', ' '),
    ('extra-index-url', 'UV_INDEX', ' '),
    ('find-links', 'UV_FIND_LINKS', ','),
    ('no-index', 'UV_NO_INDEX', ' '),
    ('constraint', 'UV_CONSTRAINT', ' '),
    ('trusted-host', 'UV_INSECURE_HOST', ' '),
    ('cert', 'SSL_CERT_FILE', ' '),
    ('proxy', 'ALL_PROXY', ' '),
)


def find_uv() -> str | None:
    """Return the path of uv, in this environment or on the PATH; None where there is none."""
    here = Path(sys.executable).with_name('uv.exe' if os.name == 'nt' else 'uv')
    return str(here) if here.exists() else shutil.which('uv')


def run_uv(doing: str, uv: str, arguments: Sequence[str]) -> None:
    """Run `uv pip` for this interpreter; its output shows only in the error that it ends with.

    Raises:
        SetupError: if uv fails.
    """
    command = [uv, 'pip', *arguments[:1], '--python', sys.executable, *arguments[1:]]
    listed = subprocess.run([*pip_command(), 'config', 'list'], capture_output=True, text=True).stdout
    variables = environment(listed.splitlines())
    if '--require-hashes' in arguments:  # every version is pinned, and uv rejects constraints without a hash
        variables.pop('UV_CONSTRAINT', None)
    run(doing, command, variables)


def environment(settings: Iterable[str]) -> dict[str, str]:
    """Return the variables that give uv pip's settings; those that the user has set for uv stay.

    Args:
        settings: lines of `pip config list`, such as `global.index-url='https://...'`.
    """
    values: dict[str, str] = {}
    for line in sorted(settings, key=lambda line: line.startswith(':env:')):  # pip, too, takes these over files
        key, separator, value = line.partition('=')
        if separator:
            values[key.rpartition('.')[2]] = str(ast.literal_eval(value))
    names = {name: separator.join(values[key].split()) for key, name, separator in SETTINGS if key in values}
    # pip takes the newest of all indexes, uv by default the first index that has the package.
    names |= {'UV_INDEX_STRATEGY': 'unsafe-best-match', 'UV_NO_PROGRESS': '1'}
    return {name: value for name, value in names.items() if name not in os.environ}
