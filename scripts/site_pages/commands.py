"""The reference of the commands, from their `--help`."""

from __future__ import annotations

import io
import os
import re
from contextlib import redirect_stdout
from unittest.mock import patch

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)

# isort: split
from seglight.__main__ import run
from seglight.cli.help import TRAINER_COMMANDS
from seglight.cli.tools import COMMANDS
from site_pages.config_keys import GROUPS

INTRODUCTION = """# Commands

`seglight COMMAND --help` prints the most common options by groups, `--help-all` these texts. Hyphens and underscores in
options are interchangeable. Every key of the [config](config.md) is also an option of `fit`, `validate`, `test` and
`predict`: `--data.batch_size=4`.

| status | meaning |
|---:|---|
| 0 | done |
| 1 | an unexpected error; its line names the file with the traceback |
| 2 | an error that you can fix; its line names file, cause and cure |
| 75 | a signal or a time limit stopped the run, which can be resumed |
| 130 | stopped by Ctrl-C |
"""

#: The widest line of a help text.
COLUMNS = '80'


def page() -> str:
    """Return the page."""
    names = [*TRAINER_COMMANDS, *COMMANDS]
    sections = [f'## {name}\n\n```text\n{help_of(name)}\n```\n' for name in names]
    return '\n'.join([INTRODUCTION, *sections])


def help_of(name: str) -> str:
    """Return what `seglight NAME --help-all` prints, without the keys that the page of the config has."""
    text = io.StringIO()
    with patch.dict(os.environ, {'COLUMNS': COLUMNS}), redirect_stdout(text):
        try:
            run([name, '--help-all'])
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f'seglight {name} --help-all ended with {end.code}') from end
    printed = text.getvalue().strip().replace(' \b', '')  # with which jsonargparse joins two words in a terminal
    return without_keys(name, printed) if name in TRAINER_COMMANDS else printed


def without_keys(name: str, text: str) -> str:
    """Return the help of a command of the trainer without its usage and without the groups of keys."""
    keys = re.compile(rf'  --({"|".join(GROUPS)})\b')
    _, *sections = text.split('\n\n')
    kept = []
    for section in sections:
        options = [line for line in section.splitlines() if line.startswith('  -')]
        if not options or not all(keys.match(line) for line in options):
            kept.append(section)
    return '\n\n'.join([f'usage: seglight {name} [options]', *kept])
