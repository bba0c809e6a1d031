"""Lightning callbacks for any Lightning project; each docstring lists what it needs beyond Lightning's hooks."""

from seglight import compat  # noqa: F401  (first: pytorch_lightning imports torchvision)
from seglight.callbacks.averaging import AveragedAtEnd, TrainedUntilAveraged
from seglight.callbacks.checkpoints.best import BestCheckpoint
from seglight.callbacks.checkpoints.interval import IntervalCheckpoint
from seglight.callbacks.chosen_ensemble import ChosenEnsemble
from seglight.callbacks.console import EpochLines, ProgressBars
from seglight.callbacks.evaluation import EvaluationRecorder
from seglight.callbacks.first_batch import FirstBatchCheck
from seglight.callbacks.learning_rates import LearningRates
from seglight.callbacks.monitored import MonitoredFigures
from seglight.callbacks.resume import ExactResume
from seglight.callbacks.run_folder import RunFolder
from seglight.callbacks.same_everywhere import SameEverywhere
from seglight.callbacks.signals import StopBySignal
from seglight.callbacks.soft_voting import SoftVoting
from seglight.callbacks.time_limit import KeepTime, TimeLimit
from seglight.callbacks.training_plan import TrainingPlan
from seglight.callbacks.tta import TestTimeAugmentation
from seglight.callbacks.wandb import WandbRun
from seglight.callbacks.writers.base import PredictionWriter
from seglight.callbacks.writers.coco import CocoWriter
from seglight.callbacks.writers.files import MaskWriter, OverlayWriter, ProbabilityWriter
from seglight.callbacks.writers.part import PartDone, PredictPart
from seglight.callbacks.writers.predicted_by import PredictedBy
from seglight.callbacks.writers.pseudo import PseudoLabelWriter
from seglight.callbacks.writers.run_lengths import RunLengthWriter
from seglight.callbacks.writers.submission import SubmissionWriter
from seglight.callbacks.writers.summary import PredictionSummary, SkipDone
from seglight.callbacks.writers.zipped import ZipWriter

__all__ = [
    'AveragedAtEnd',
    'BestCheckpoint',
    'ChosenEnsemble',
    'CocoWriter',
    'EpochLines',
    'EvaluationRecorder',
    'ExactResume',
    'FirstBatchCheck',
    'IntervalCheckpoint',
    'KeepTime',
    'LearningRates',
    'MaskWriter',
    'MonitoredFigures',
    'OverlayWriter',
    'PartDone',
    'PredictPart',
    'PredictedBy',
    'PredictionSummary',
    'PredictionWriter',
    'ProbabilityWriter',
    'ProgressBars',
    'PseudoLabelWriter',
    'RunFolder',
    'RunLengthWriter',
    'SameEverywhere',
    'SkipDone',
    'SoftVoting',
    'StopBySignal',
    'SubmissionWriter',
    'TestTimeAugmentation',
    'TimeLimit',
    'TrainedUntilAveraged',
    'TrainingPlan',
    'WandbRun',
    'ZipWriter',
]
