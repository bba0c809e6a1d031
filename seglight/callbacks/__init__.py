"""Lightning callbacks, each usable in any Lightning project."""

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.callbacks.checkpoint import BestCheckpoint, EpochCheckpoint
from seglight.callbacks.console import EpochLines, ProgressBars
from seglight.callbacks.evaluation import EvaluationRecorder
from seglight.callbacks.run_folder import RunFolder
from seglight.callbacks.wandb import WandbRun
from seglight.callbacks.writers import MaskWriter

__all__ = [
    'BestCheckpoint',
    'EpochCheckpoint',
    'EpochLines',
    'EvaluationRecorder',
    'MaskWriter',
    'ProgressBars',
    'RunFolder',
    'WandbRun',
]
