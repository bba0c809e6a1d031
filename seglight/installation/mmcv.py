"""Install mmcv for the running interpreter, completely or not at all."""

from __future__ import annotations

import shutil
import sysconfig
import tempfile
from pathlib import Path

from seglight.errors import SetupError
from seglight.installation import requirements
from seglight.installation.mmcv_wheel import VERSION, build_wheel, download
from seglight.installation.pip import run_pip


def install_mmcv(find_links: str | None = None) -> bool:
    """Install mmcv if it is missing, and return whether it was.

    Args:
        find_links: a folder or a page to take its files from, without using an index.

    Raises:
        SetupError: if it cannot be installed (then nothing remains of it), or an unsupported version is installed.
    """
    if requirements.mmcv_version():
        requirements.check_mmcv()
        return False
    packages = Path(sysconfig.get_path('purelib'))
    _remove(packages)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            wheel = build_wheel(download(Path(temporary), find_links), Path(temporary))
            options = ['--no-deps', '--no-index']
            run_pip(f'installing mmcv {VERSION}', ['install', *options, str(wheel)], PIP_REQUIRE_HASHES='0')
        if requirements.mmcv_version() is None:
            cure = 'remove target, prefix, root and dry-run from its settings (pip config list)'
            raise SetupError(f'pip did not install mmcv {VERSION} where this Python looks; {cure}')
    except SetupError:
        for record in packages.glob(f'mmcv-{VERSION}.dist-info/RECORD'):  # pip failed after it had unpacked the wheel
            record.unlink()
        raise
    except OSError as error:
        raise SetupError(f'installing mmcv {VERSION} failed: {error.strerror or error}: {error.filename}') from error
    finally:
        _remove(packages)
    return True


def _remove(packages: Path) -> None:
    """Remove what an interrupted installation left."""
    for path in requirements.leftovers(packages):
        shutil.rmtree(path, ignore_errors=True)
