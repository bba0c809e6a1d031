"""Lightning callbacks, each usable in any Lightning project."""

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.callbacks.checkpoint import BestCheckpoint, IntervalCheckpoint
from seglight.callbacks.console import EpochLines
from seglight.callbacks.resume import ExactResume
from seglight.callbacks.run_folder import RunFolder
from seglight.callbacks.signals import StopBySignal
from seglight.callbacks.writers import MaskWriter

__all__ = [
    'BestCheckpoint',
    'EpochLines',
    'ExactResume',
    'IntervalCheckpoint',
    'MaskWriter',
    'RunFolder',
    'StopBySignal',
]
