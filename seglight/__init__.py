"""seglight: train and run mmsegmentation's models with PyTorch Lightning."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

# Before anything imports albumentations, which otherwise asks a server for its newest version at every start.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

if TYPE_CHECKING:
    from pathlib import Path

    from seglight.data.datamodule import SegmentationDataModule
    from seglight.models.segmentor import Segmentor
    from seglight.predictor import Predictor

__version__ = '0.1.0'
__all__ = ['Predictor', 'SegmentationDataModule', 'Segmentor', '__version__', 'load']

#: The modules of the classes that load torch; imported at first use.
_MODULES = {
    'Predictor': 'seglight.predictor',
    'SegmentationDataModule': 'seglight.data.datamodule',
    'Segmentor': 'seglight.models.segmentor',
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def load(checkpoint: str | Path, device: str | None = None, trust_checkpoint: bool = False) -> Predictor:
    """Return a predictor for a checkpoint; see `seglight.predictor.Predictor`.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        device: for example `cuda:1`; by default a GPU if there is one.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.
    """
    from seglight.predictor import Predictor  # late: it loads torch

    return Predictor(checkpoint, device, trust_checkpoint)
