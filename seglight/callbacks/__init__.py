"""Lightning callbacks, each usable in any Lightning project."""

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.callbacks.checkpoint import BestCheckpoint, IntervalCheckpoint
from seglight.callbacks.class_weights import BalancedClassWeights
from seglight.callbacks.console import EpochLines
from seglight.callbacks.resume import ExactResume
from seglight.callbacks.run_folder import RunFolder
from seglight.callbacks.training_plan import TrainingPlan
from seglight.callbacks.tta import TestTimeAugmentation
from seglight.callbacks.writers import MaskWriter

__all__ = [
    'BalancedClassWeights',
    'BestCheckpoint',
    'EpochLines',
    'ExactResume',
    'IntervalCheckpoint',
    'MaskWriter',
    'RunFolder',
    'TestTimeAugmentation',
    'TrainingPlan',
]
