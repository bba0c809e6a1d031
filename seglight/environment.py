"""What a run was made with: command line, packages, code version."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib import metadata

import yaml

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
    """Return the command line without secrets, the versions of Python and the main packages, and the git commit."""
    found = {name: _version(name) for name in PACKAGES}
    contents = {
        'command': shlex.join(masked_command(list(command))),
        'platform': platform.platform(),
        'python': platform.python_version(),
        'packages': found,
        'git_commit': git_commit(),
    }
    return yaml.safe_dump(contents, sort_keys=False)


def git_commit() -> str | None:
    """Return the commit of the working folder's repository, with `-dirty` behind it if files were changed."""
    try:
        done = subprocess.run(
            ['git', 'describe', '--always', '--abbrev=40', '--dirty', '--exclude=*'], capture_output=True, text=True
        )
    except OSError:  # no git
        return None
    return done.stdout.strip() or None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
