"""Collects the packages for a machine without a network, and installs them there into a folder of their own."""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from seglight.errors import SetupError, UsageError
from seglight.installation.mmcv_wheel import build_wheel, download
from seglight.installation.pip import run_pip

#: Total size of the folder.
LIMIT = 60 * 2**20

#: Packages that the machine must have, with the module of each: torch, and what is large or belongs to its builds.
EXPECTED = {
    'torch': 'torch',
    'torchvision': 'torchvision',
    'pytorch-lightning': 'pytorch_lightning',
    'numpy': 'numpy',
    'scipy': 'scipy',
    'opencv-python-headless': 'cv2',
    'pillow': 'PIL',
    'matplotlib': 'matplotlib',
    'scikit-learn': 'sklearn',
}

#: The machine to collect wheels for. pip takes each platform literally.
PYTHON = '3.12'
PLATFORMS = [f'manylinux_2_{minor}_x86_64' for minor in (28, 27, 17)] + ['manylinux2014_x86_64', 'manylinux1_x86_64']

#: The same machine for markers of requirements.
THERE = {
    'python_version': PYTHON,
    'python_full_version': f'{PYTHON}.0',
    'implementation_name': 'cpython',
    'platform_python_implementation': 'CPython',
    'sys_platform': 'linux',
    'platform_system': 'Linux',
    'platform_machine': 'x86_64',
    'os_name': 'posix',
    'extra': '',
}

CONSTRAINTS = Path(__file__).parents[1] / 'constraints.txt'


def prepare(folder: Path, also: Sequence[str] = ()) -> dict[str, int]:
    """Download and build all wheels, and return their sizes in bytes.

    Args:
        folder: created if needed; must have no other wheels.
        also: packages of `EXPECTED` to collect nevertheless.

    Raises:
        UsageError: for an unknown package.
        SetupError: if a wheel is missing, or the folder is too large.
    """
    for name in also:
        if name not in EXPECTED:
            raise UsageError(f'--also must be of {", ".join(EXPECTED)}, got {name}')
    folder.mkdir(parents=True, exist_ok=True)
    pins = pinned(CONSTRAINTS.read_text(), needed('seglight', set(EXPECTED) - set(also)))
    with tempfile.TemporaryDirectory() as temporary:
        requirements = Path(temporary, 'requirements.txt')
        requirements.write_text(pins)
        run_pip('downloading wheels', download_arguments(requirements, folder))
        build_wheel(download(Path(temporary)), folder)
    return check_sizes(folder)


def needed(root: str, expected: set[str]) -> set[str]:
    """Return the packages that an installed one needs, without the expected ones and what only these need."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    waiting = [Requirement(root)]
    while waiting:
        requirement = waiting.pop()
        extras = requirement.extras or {''}
        for each in map(Requirement, metadata.requires(requirement.name) or []):
            name = canonicalize_name(each.name)
            wanted = each.marker is None or any(each.marker.evaluate({**THERE, 'extra': extra}) for extra in extras)
            if wanted and name not in expected | found:
                found.add(name)
                waiting.append(each)
    return found


def pinned(constraints: str, names: set[str]) -> str:
    """Return the lines of `constraints.txt` for the packages on the other machine, with versions and hashes.

    Without markers, which pip would evaluate for this machine.

    Raises:
        SetupError: if one of them has no version there.
    """
    from packaging.markers import Marker

    pins = {}
    entries = r'^([\w.-]+)(==\S+)(?: ; (.*?))?( \\\n(?: +--hash=.*\n)+)'
    for name, version, marker, hashes in re.findall(entries, constraints, re.MULTILINE):
        if name in names and (not marker or Marker(marker).evaluate(THERE)):
            pins[name] = f'{name}{version}{hashes}'
    if unknown := names - set(pins):
        raise SetupError(f'scripts/constraints.txt has no version of {", ".join(sorted(unknown))}; run scripts/lock')
    return ''.join(pins.values())


def download_arguments(requirements: Path, folder: Path) -> list[str]:
    """Return the arguments of pip that download wheels for the other machine."""
    platforms = [word for platform in PLATFORMS for word in ('--platform', platform)]
    options = ['--no-deps', '--only-binary=:all:', '--python-version', PYTHON, '--implementation', 'cp']
    return [
        *('download', *options, *platforms, '--require-hashes'),
        *('--requirement', str(requirements), '--dest', str(folder)),
    ]


def check_sizes(folder: Path, limit: int = LIMIT) -> dict[str, int]:
    """Return the size of each wheel in bytes.

    Raises:
        SetupError: if all together are larger than the limit.
    """
    sizes = {path.name: path.stat().st_size for path in sorted(folder.glob('*.whl'))}
    if (total := sum(sizes.values())) > limit:
        largest = max(sizes, key=lambda name: sizes[name])
        raise SetupError(
            f'{folder} must have at most {limit / 2**20:.0f} MiB, got {total / 2**20:.1f} MiB; the largest is {largest}'
        )
    return sizes


def install(wheels: Path, folder: Path) -> list[str]:
    """Install the wheels that this Python lacks, or has in an older version, into a folder; return their names.

    Raises:
        SetupError: if there are no wheels, or one cannot be installed.
    """
    paths = sorted(wheels.glob('*.whl'))
    if not paths:
        raise SetupError(
            f'{wheels} has no wheels; run scripts/gpu_check --prepare {wheels} on a machine with a network'
        )
    lacking = [path for path in paths if not _has(path)]
    arguments = ['install', '--no-index', '--no-deps', '--no-compile', '--target', str(folder)]
    if lacking:
        run_pip('installing the wheels', [*arguments, *map(str, lacking)])
    return [path.name for path in lacking]


def missing() -> list[str]:
    """Return the expected packages that this Python lacks."""
    importlib.invalidate_caches()
    return [name for name, module in EXPECTED.items() if find_spec(module) is None]


def _has(wheel: Path) -> bool:
    """Return whether the package in a wheel is installed in at least its version."""
    name, version = wheel.name.split('-')[:2]
    try:
        return _numbers(metadata.version(name)) >= _numbers(version)
    except metadata.PackageNotFoundError:
        return False


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', version.split('+')[0])]
