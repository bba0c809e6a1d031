"""The environment of a run: command line, package versions, git commit."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence

import yaml

from seglight.installation.requirements import installed_version
from seglight.masking import masked_command

PACKAGES = (
    'seglight',
    'torch',
    'torchvision',
    'pytorch-lightning',
    'mmsegmentation',
    'mmcv',
    'mmcv-full',
    'albumentations',
    'numpy',
    'opencv-python-headless',
)


def describe(command: Sequence[str]) -> str:
    """Return as YAML: the command line without secrets, versions of Python and main packages, and the git commit."""
    contents = {
        'command': shlex.join(masked_command(list(command))),
        'platform': platform.platform(),
        'python': platform.python_version(),
        'packages': {name: installed_version(name) for name in PACKAGES},
        'git_commit': git_commit(),
    }
    return yaml.safe_dump(contents, sort_keys=False)


#: git, without the repository's file monitor, and without fetching missing objects.
_GIT = ('git', '-c', 'core.fsmonitor=false', '-c', 'protocol.allow=never')


def git_commit() -> str | None:
    """Return the commit of the working folder's repository, with the suffix `-dirty` if files were changed.

    The repository may be untrusted, and its settings may name commands: anything that would run them is skipped.
    """
    if not _git('rev-parse', '--git-dir'):
        return None
    settings = _git('config', '--show-scope', '--name-only', '--list')
    filtered = not settings or re.search(r'^(local|worktree)\s+filter\.', settings, re.MULTILINE | re.IGNORECASE)
    dirty = () if filtered else ('--dirty',)  # --dirty compares files and would run filters on them
    return _git('describe', '--always', '--abbrev=40', *dirty, '--exclude=*') or None


def _git(*arguments: str) -> str:
    """Return git's output, empty if it fails or is not installed."""
    environment = {**os.environ, 'GIT_NO_LAZY_FETCH': '1', 'GIT_OPTIONAL_LOCKS': '0'}
    try:
        done = subprocess.run([*_GIT, *arguments], capture_output=True, text=True, errors='replace', env=environment)
    except OSError:
        return ''
    return done.stdout.strip() if done.returncode == 0 else ''
