"""seglight: train and run mmsegmentation's models with PyTorch Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from seglight.predictor import Predictor

__version__ = '0.1.0'


def load(checkpoint: str | Path, device: str | None = None) -> Predictor:
    """Return what predicts images with a checkpoint; see `seglight.predictor.Predictor`.

    Args:
        checkpoint: a path, or relative to `work_dirs`; the folder of a run means its best.
        device: such as `cuda:1`; by default a GPU where there is one.
    """
    from seglight.predictor import Predictor  # late: it loads torch

    return Predictor(checkpoint, device)
