"""The device and the installed versions."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator

import torch

from gpu.lab import Lab
from gpu.results import Row
from seglight.cores import cores
from seglight.installation.requirements import mmcv_version
from seglight.ops.deform_conv import TORCHVISION_CUDA

MODULES = ('torchvision', 'pytorch_lightning', 'torchmetrics', 'mmseg', 'mmcls', 'albumentations', 'numpy', 'cv2')


def environment(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield names and values; fail if the device is missing."""
    del argument
    yield _row('Python', platform.python_version())
    yield _row('cores', cores())
    yield _row('torch', torch.__version__)
    yield _row('mmcv', mmcv_version())
    for name in MODULES:
        yield _row(name, getattr(importlib.import_module(name), '__version__', None))
    yield _row('C++ compiler, for torch.compile', os.environ.get('CXX') or shutil.which('g++'))
    if lab.device == 'cuda':
        yield from _gpu()


def _gpu() -> Iterator[Row]:
    if not torch.cuda.is_available():
        raise RuntimeError('torch finds no GPU')
    yield _row('GPU', torch.cuda.get_device_name())
    yield _row('GPU memory, GiB', torch.cuda.get_device_properties(0).total_memory / 2**30)
    yield _row('CUDA', torch.version.cuda)
    yield _row('cuDNN', torch.backends.cudnn.version())
    yield _row('driver', _driver())
    yield _row("torchvision's operators on CUDA", TORCHVISION_CUDA)


def _driver() -> str | None:
    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.split('\n')[0]
    except (OSError, subprocess.SubprocessError):
        return None


def _row(name: str, value: str | float | bool | None) -> Row:
    return {'what': name, 'value': value}
