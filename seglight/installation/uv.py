"""Run uv, if available, with pip's settings: it installs in seconds what takes pip a minute."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from seglight.installation.pip import pip_command, run

#: A setting of pip, uv's variable for it, and the separator between values.
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
    """Return the path of uv, in this environment or on the PATH; None if there is none."""
    here = Path(sys.executable).with_name('uv.exe' if os.name == 'nt' else 'uv')
    return str(here) if here.exists() else shutil.which('uv')


def run_uv(doing: str, uv: str, arguments: Sequence[str]) -> None:
    """Run `uv pip` for this interpreter; its output is only shown if it fails.

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
    """Return environment variables that pass pip's settings to uv, except those that the user has set.

    Args:
        settings: lines of `pip config list`, for example `global.index-url='https://...'`.
    """
    values: dict[str, str] = {}
    for line in sorted(settings, key=lambda line: line.startswith(':env:')):  # as in pip, these override files
        key, separator, value = line.partition('=')
        if separator:
            values[key.rpartition('.')[2]] = str(ast.literal_eval(value))
    names = {name: separator.join(values[key].split()) for key, name, separator in SETTINGS if key in values}
    # pip uses the newest version from all indexes; uv by default uses the first index that has the package.
    names |= {'UV_INDEX_STRATEGY': 'unsafe-best-match', 'UV_NO_PROGRESS': '1'}
    return {name: value for name, value in names.items() if name not in os.environ}
