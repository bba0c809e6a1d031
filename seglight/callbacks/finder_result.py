"""What Lightning's `LearningRateFinder` leaves unsaid when it finds nothing."""

from __future__ import annotations

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import LearningRateFinder

from seglight.callbacks.find import find_callback
from seglight.counting import counted
from seglight.steps import planned_steps


def unfound_rate(trainer: Trainer) -> str | None:
    """Return why the finder of a trainer has found no rate and what to do, None if it has, or if there is no finder."""
    finder = find_callback(trainer, LearningRateFinder)
    search = finder.optimal_lr if finder else None
    if search is None or search.suggestion() is not None:
        return None
    tried, wanted, steps = len(search.results['lr']), search.num_training, planned_steps(trainer)
    if tried >= wanted:
        cure = 'give it more num_training_steps (100 by default)'
    elif tried >= steps:
        cure = f'the run ends after {counted(steps, "step")}; give a longer one, such as --trainer.max_epochs'
    else:
        cure = 'the loss grew too fast; give it a smaller max_lr, or early_stop_threshold: null'
    return (
        f'LearningRateFinder has found no rate in {counted(tried, "step")}, of which the first 10 and the last do not '
        f'count, so that model.optimizer applies: {cure}'
    )
