"""What Lightning and torch report in every run and nobody can act upon."""

from __future__ import annotations

import logging
import warnings


def quieten() -> None:
    """Silence what Lightning tells every user of every run and nobody can act upon."""
    for name in (
        'pytorch_lightning.utilities.rank_zero',
        'pytorch_lightning.trainer.connectors.checkpoint_connector',  # its finders go back to files of their own
        'lightning_fabric.utilities.seed',
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger('pytorch_lightning.tuner.lr_finder').setLevel(logging.CRITICAL)  # `TrainingPlan` says more
    for message in (
        '.*does not have many workers',
        'Checkpoint directory .* exists and is not empty',  # config.yaml is in it
        'Experiment logs directory .* exists and is not empty',
        'Total length of `list` across ranks is zero',  # full data has no validation
        'Be aware that when using `ckpt_path`',  # predicting needs no checkpoint callbacks
        'Found .* module.s. in eval mode at the start of training',  # frozen ones, and what `norm_eval` says
        'torch.utils.checkpoint: the use_reentrant parameter should be passed',  # mmseg's `with_cp`
        'The number of training batches .* is smaller than the logging interval',
        'Total length of `list` across ranks is zero',  # no validation was asked for
        r'It is recommended to use .self\.log\(.(val|test)/',  # whose figures come from counts of all processes
        '.*isinstance.treespec, LeafSpec.. is deprecated',  # Lightning 2.6 on torch 2.13
    ):
        warnings.filterwarnings('ignore', message=message)
