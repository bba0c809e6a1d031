"""Install mmcv, which pip cannot build, as a pure Python wheel, and print the installed versions.

The wheel is made from mmcv's pinned source, whose hash is checked, without a compiler or nvcc. A compiled
mmcv-full 1.7 that is already installed is used and never changed.

    seglight setup                          on a machine with a network
    seglight setup --download wheels        there, to save the files for another machine
    seglight setup --find-links wheels      on a machine without a network
"""

from __future__ import annotations

import importlib
import platform
from pathlib import Path

from seglight.errors import SetupError, one_line
from seglight.installation import requirements
from seglight.installation.mmcv import install_mmcv
from seglight.installation.mmcv_wheel import offline
from seglight.installation.pip import run_pip


def set_up(find_links: str | None = None) -> dict[str, str]:
    """Install what is missing, and return the installed versions.

    Args:
        find_links: a folder or a page to take every package from, without using an index.

    Raises:
        SetupError: if a package cannot be installed, or has an unsupported version.
    """
    if find_links and '://' not in find_links and not Path(find_links).is_dir():
        raise SetupError(f'--find-links must be a folder, got {find_links}')
    if requirements.torch_version() is None:
        first, end = requirements.TORCH
        run_pip('installing torch', ['install', f'torch>={first},<{end}', 'torchvision', *offline(find_links)])
    requirements.check_torch()
    install_mmcv(find_links)
    return installed()


def installed() -> dict[str, str]:
    """Return the versions of the main packages, each imported to check that it works.

    Raises:
        SetupError: if a package cannot be imported.
    """
    importlib.invalidate_caches()
    try:
        importlib.import_module('seglight.compat')
        import torch

        importlib.import_module('mmcv')
    except Exception as error:
        raise SetupError(f'a package is installed but cannot be imported: {one_line(error)}') from error
    return {
        'Python': platform.python_version(),
        'torch': str(torch.__version__),
        'device': _device(),
        'mmcv': f'{requirements.mmcv_version()}',
        'operators': _operators(),
    }


def _device() -> str:
    """Return the device that training uses by default."""
    import torch

    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()} ({torch.cuda.device_count()} CUDA devices)'
    return 'mps' if torch.backends.mps.is_available() else 'cpu'


def _operators() -> str:
    """Return which implementation of the operators is used.

    Raises:
        SetupError: if compiled operators do not match the installed torch.
    """
    folder = requirements.mmcv_folder()
    if not (folder and [*folder.glob('_ext*.so'), *folder.glob('_ext*.pyd')]):
        return 'PyTorch'
    try:
        importlib.import_module('mmcv._ext')
    except ImportError as error:
        cure = 'recompile it, or run: pip uninstall mmcv-full, then: seglight setup'
        raise SetupError(
            f'the compiled operators of mmcv-full do not match the installed torch; {cure} ({one_line(error)})'
        ) from error
    return 'compiled'
