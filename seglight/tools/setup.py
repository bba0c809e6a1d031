"""Install what pip cannot: mmcv, as a pure Python wheel; say what the environment holds.

mmcv is made from its pinned source, whose hash is checked, without compiler or nvcc. A compiled
mmcv-full 1.7 that is installed already is used as it is and never touched.

    seglight setup                          on a machine with a network
    seglight setup --download wheels        there, to keep what another machine needs
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
    """Install what is missing, and return what the environment holds then.

    Args:
        find_links: a folder or a page to take every package from; nothing else is asked then.

    Raises:
        SetupError: if something cannot be installed, or is of a release that does not work.
    """
    if find_links and '://' not in find_links and not Path(find_links).is_dir():
        raise SetupError(f'--find-links must be a folder, got {find_links}')
    if requirements.torch_version() is None:
        first, end = requirements.TORCH
        run_pip('installing torch', ['install', f'torch>={first},<{end}', 'torchvision', *offline(find_links)])
    requirements.check_torch()
    install_mmcv(find_links)
    return found()


def found() -> dict[str, str]:
    """Return what the environment holds, each part imported to see that it works.

    Raises:
        SetupError: if a part cannot be imported.
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
    """Return what trains here by default."""
    import torch

    if torch.cuda.is_available():
        return f'{torch.cuda.get_device_name()} ({torch.cuda.device_count()} of CUDA)'
    return 'mps' if torch.backends.mps.is_available() else 'cpu'


def _operators() -> str:
    """Return where the operators come from.

    Raises:
        SetupError: if compiled ones are there that do not fit the installed torch.
    """
    folder = requirements.mmcv_folder()
    if not (folder and [*folder.glob('_ext*.so'), *folder.glob('_ext*.pyd')]):
        return 'PyTorch'
    try:
        importlib.import_module('mmcv._ext')
    except ImportError as error:
        cure = 'compile it again, or run: pip uninstall mmcv-full, then: seglight setup'
        raise SetupError(
            f'the compiled operators of mmcv-full do not fit the installed torch; {cure} ({one_line(error)})'
        ) from error
    return 'compiled'
