"""seglight: train and run mmsegmentation's models with PyTorch Lightning."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Before anything imports albumentations, which otherwise asks a server for its newest version at every start.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

if TYPE_CHECKING:
    from pathlib import Path

    from seglight.predictor import Predictor

__version__ = '0.1.0'


def load(checkpoint: str | Path, device: str | None = None, trust_checkpoint: bool = False) -> Predictor:
    """Return what predicts images with a checkpoint; see `seglight.predictor.Predictor`.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best.
        device: such as `cuda:1`; by default a GPU where there is one.
        trust_checkpoint: whether the file is one's own, so that it may name classes of any package, which runs code.
    """
    from seglight.predictor import Predictor  # late: it loads torch

    return Predictor(checkpoint, device, trust_checkpoint)
