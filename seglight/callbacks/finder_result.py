"""Explain why Lightning's `LearningRateFinder` did not find a learning rate."""

from __future__ import annotations

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateFinder

from seglight.counting import counted
from seglight.steps import planned_steps
from seglight.trainer_callbacks import find_callback


def finder_failure(trainer: Trainer) -> str | None:
    """Return why the trainer's finder did not find a rate, and the cure; None if it did, or there is no finder."""
    finder = find_callback(trainer, LearningRateFinder)
    search = finder.optimal_lr if finder else None
    if search is None or search.suggestion() is not None:
        return None
    tried, requested, steps = len(search.results['lr']), search.num_training, planned_steps(trainer)
    if tried >= requested:
        cure = 'raise its num_training_steps (100 by default)'
    elif tried >= steps:
        cure = f'the run ends after {counted(steps, "step")}; raise --trainer.max_epochs'
    else:
        cure = 'the loss grew too fast; give it a smaller max_lr, or early_stop_threshold: null'
    return (
        f'LearningRateFinder did not find a rate in {counted(tried, "step")} (it ignores the first 10 and the last), '
        f'so the rate of model.optimizer is used; {cure}'
    )
