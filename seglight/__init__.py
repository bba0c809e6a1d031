"""seglight: train and run mmsegmentation's models with PyTorch Lightning."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

# Before anything imports albumentations, which otherwise asks a server for its newest version at every start.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from seglight.data.datamodule import SegmentationDataModule
    from seglight.models.segmentor import Segmentor
    from seglight.predictor import Predictor

__version__ = '0.1.0'
__all__ = ['Predictor', 'SegmentationDataModule', 'Segmentor', '__version__', 'load', 'read_config']

#: The modules of the classes that load torch; imported at first use.
_MODULES = {
    'Predictor': 'seglight.predictor',
    'SegmentationDataModule': 'seglight.data.datamodule',
    'Segmentor': 'seglight.models.segmentor',
}


#: Packages that import torchvision, which `seglight.compat` must precede.
_AFTER_COMPAT = ('pytorch_lightning', 'torchmetrics')


class _CompatFirst:
    """Imports `seglight.compat` before a program that has imported seglight imports a package that needs it."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Find nothing."""
        del path, target
        if name in _AFTER_COMPAT:
            importlib.import_module('seglight.compat')


sys.meta_path.insert(0, _CompatFirst)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})


def load(
    checkpoint: str | Path,
    device: str | None = None,
    trust_checkpoint: bool = False,
    segmentor: type[Segmentor] | None = None,
) -> Predictor:
    """Return a predictor for a checkpoint; see `seglight.predictor.Predictor`.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best checkpoint.
        device: for example `cuda:1`; by default a GPU if there is one.
        trust_checkpoint: let the file name classes of any package, which runs code; only for your own files.
        segmentor: the subclass of `Segmentor` that trained it, if it changes predictions.
    """
    from seglight.predictor import Predictor  # late: it loads torch

    return Predictor(checkpoint, device, trust_checkpoint, segmentor)


def read_config(*configs: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the whole config that `seglight fit` would use, with every default, without secrets.

    Its groups `model`, `data` and `trainer` are the arguments of `Segmentor`, `SegmentationDataModule` and Lightning's
    `Trainer`; callbacks and loggers of the config are still dicts, which a program builds or replaces.

    Args:
        configs: YAML files, or `.py` files of mmseg, by path or by the name of a shipped one; later ones override.
        overrides: flags of `seglight fit`, for example `--data.batch_size=2`.

    Raises:
        UserError: for a missing file, or a wrong key or value.
    """
    from seglight.cli.read_config import read_config as read  # late: it loads torch

    return read([str(path) for path in configs], overrides)
