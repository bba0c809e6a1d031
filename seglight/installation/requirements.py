"""Check the packages that pip does not install with seglight, without importing them."""

from __future__ import annotations

import importlib
import importlib.util
import re
from importlib import metadata
from pathlib import Path

from seglight.errors import SetupError

TORCH = ('2.6', '2.16')  #: the first supported release, and the first untested one; as in pyproject.toml
MMCV = ('1.7', '1.8')  #: the first supported release, and the first that mmsegmentation 0.30 does not accept


def require() -> None:
    """Check that torch and mmcv are installed in supported releases.

    Raises:
        SetupError: with the command that fixes it.
    """
    for name, version in (('torch', torch_version()), ('mmcv', mmcv_version())):
        if version is None:
            raise SetupError(f'{name} is not installed; run: seglight setup')
    check_torch()
    check_mmcv()


def check_torch() -> None:
    """Check the release of torch, if installed.

    Raises:
        SetupError: if it is not supported.
    """
    version = torch_version()
    if version and not is_within(version, *TORCH):
        first, end = TORCH
        cure = f"pip install 'torch>={first},<{end}' torchvision"
        raise SetupError(f'torch must be >={first},<{end}, got {version}; run: {cure}')


def check_mmcv() -> None:
    """Check the release of mmcv, if installed; it is never replaced, since the user may have compiled it.

    Raises:
        SetupError: if it is not supported.
    """
    version = mmcv_version()
    if version and not is_within(version, *MMCV):
        name = 'mmcv-full' if installed_version('mmcv-full') else 'mmcv'
        raise SetupError(f'{name} must be {MMCV[0]}.x, got {version}; run: pip uninstall {name}, then: seglight setup')


def torch_version() -> str | None:
    """Return the version of the installed torch, for example `2.13.0+cpu`; None if there is none."""
    return installed_version('torch') if importlib.util.find_spec('torch') else None


def mmcv_version() -> str | None:
    """Return the version of the mmcv that Python finds, compiled or not; None if it is missing or incomplete."""
    folder = mmcv_folder()
    if folder is None or leftovers(folder.parent):
        return None
    found = re.search(r"__version__ = '(.+)'", (folder / 'version.py').read_text(encoding='utf-8'))
    return found[1] if found else None


def mmcv_folder() -> Path | None:
    """Return the folder of the mmcv that Python finds, None if there is none."""
    importlib.invalidate_caches()
    spec = importlib.util.find_spec('mmcv')
    return Path(spec.origin).parent if spec and spec.origin else None


def leftovers(folder: Path) -> list[Path]:
    """Return what an interrupted installation of mmcv, recognised by its missing `RECORD`, left in a folder."""
    incomplete = [path for path in folder.glob('mmcv-*.dist-info') if not (path / 'RECORD').exists()]
    is_compiled = any((folder / 'mmcv').glob('_ext*'))  # the user's own build, which is never removed
    return [*incomplete, folder / 'mmcv'] if incomplete and not is_compiled else []


def is_within(version: str, first: str, end: str) -> bool:
    """Return whether a version is at least `first` and less than `end`."""
    return _numbers(first) <= _numbers(version) < _numbers(end)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', version.split('+')[0])[:3]]


def installed_version(name: str) -> str | None:
    """Return the version of a package, None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
