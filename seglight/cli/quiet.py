"""Silence messages of Lightning and torch that users cannot act on."""

from __future__ import annotations

import logging
import warnings


def quieten() -> None:
    """Silence messages of Lightning and torch that appear in every run and that users cannot act on."""
    for name in (
        'pytorch_lightning.utilities.rank_zero',
        'pytorch_lightning.trainer.connectors.checkpoint_connector',  # its finders restore their own temporary files
        'lightning_fabric.utilities.seed',
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger('pytorch_lightning.tuner.lr_finder').setLevel(logging.CRITICAL)  # `TrainingPlan` warns instead
    for message in (
        '.*does not have many workers',
        'Checkpoint directory .* exists and is not empty',  # config.yaml is in it
        'Experiment logs directory .* exists and is not empty',
        'Total length of `list` across ranks is zero',  # training on all data has no validation
        'Be aware that when using `ckpt_path`',  # predicting needs no checkpoint callbacks
        'Found .* module.s. in eval mode at the start of training',  # frozen modules, and those of `norm_eval`
        'torch.utils.checkpoint: the use_reentrant parameter should be passed',  # mmseg's `with_cp`
        'The number of training batches .* is smaller than the logging interval',
        r'It is recommended to use .self\.log\(.(val|test)/',  # the counts are summed over all processes
        '.*isinstance.treespec, LeafSpec.. is deprecated',  # Lightning 2.6 on torch 2.13
    ):
        warnings.filterwarnings('ignore', message=message)
