"""What `fit` takes beside Lightning's arguments, the callbacks that it always has, and what it says at its end."""

from __future__ import annotations

import os
import shlex
import traceback
from pathlib import Path
from typing import Any

from mmcv.runner.hooks.lr_updater import OneCycleLrUpdaterHook
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import LearningRateFinder

from seglight.callbacks import (
    BalancedClassWeights,
    BestCheckpoint,
    EpochLines,
    EvaluationRecorder,
    ExactResume,
    IntervalCheckpoint,
    KeepTime,
    LearningRates,
    RunFolder,
    StopBySignal,
    TrainedUntilAveraged,
    TrainingPlan,
    WandbRun,
)
from seglight.callbacks.console import metrics_table
from seglight.callbacks.find import find_callback
from seglight.config.checkpoint import read_checkpoint
from seglight.errors import CheckpointError, ConfigError, one_line
from seglight.files import WORK_DIRS
from seglight.models.schedules import find_updater

_UNLIMITED = 'give 1 or more, or -1 for no limit'

#: The least values of arguments of Lightning's `Trainer`, and what to give instead of less.
LEAST = {
    'accumulate_grad_batches': (1, 'give 1 or more'),
    'check_val_every_n_epoch': (1, 'give 1 or more; trainer.limit_val_batches: 0 leaves out validation'),
    'gradient_clip_val': (0, 'give a norm above 0; 0 or null for no clipping'),
    'max_epochs': (1, _UNLIMITED),
    'max_steps': (1, _UNLIMITED),
}


def add_arguments(parser: Any) -> None:
    """Add the arguments of `fit` to a parser of LightningCLI."""
    parser.add_argument(
        '--load_from', type=str | None, help='Checkpoint to take weights from, and nothing else (fine-tuning).'
    )
    parser.add_argument(
        '--trust_checkpoint',
        action='store_true',
        help='Unpickle everything in the file of --load-from, which runs the code in it; for own files only.',
    )
    parser.add_argument('--tags', type=list[str], default=[], help='Words to find the run by, as in W&B.')
    parser.add_argument(
        '--work_dir', type=str | None, help=f'Folder of the run, by default the next free {WORK_DIRS}/exp{{N}}.'
    )
    parser.add_argument(
        '--auto_resume',
        action='store_true',
        help='Go on with the newest run of this config, or with --work-dir, from its newest whole checkpoint.',
    )
    parser.add_lightning_class_args(IntervalCheckpoint, 'checkpoint')
    parser.add_lightning_class_args(BestCheckpoint, 'best_checkpoint')
    parser.add_lightning_class_args(WandbRun, 'wandb')


def check_trainer(trainer: Any) -> None:
    """Refuse numbers that Lightning takes, but divides by, trains nothing with, or does not heed.

    Args:
        trainer: the arguments of Lightning's `Trainer`.

    Raises:
        ConfigError: names the key.
    """
    for name, (least, advice) in LEAST.items():
        value, unlimited = trainer[name], name in ('max_epochs', 'max_steps')
        if isinstance(value, (int, float)) and value < least and not (unlimited and value == -1):
            raise ConfigError(f'trainer.{name} is {value}; {advice}', ('trainer', name))
    if trainer.limit_train_batches == 0:
        message = 'trainer.limit_train_batches is 0, which trains nothing; give 1 or more batches, or a share of them'
        raise ConfigError(message, ('trainer', 'limit_train_batches'))


def check_finder(trainer: Trainer, schedule: dict[str, Any]) -> None:
    """Refuse Lightning's `LearningRateFinder` with the policy OneCycle, whose rates its own `max_lr` alone decides.

    Raises:
        ConfigError: names both.
    """
    if find_callback(trainer, LearningRateFinder) and isinstance(find_updater(schedule), OneCycleLrUpdaterHook):
        raise ConfigError(
            'LearningRateFinder finds optimizer.lr, but in the policy OneCycle max_lr alone decides; '
            'search with another policy, such as fixed, and give what it finds as max_lr',
            ('trainer', 'callbacks'),
        )


def explain_refusal(error: Exception, steps_done: int) -> ConfigError | None:
    """Return what Lightning itself refused before the first step as an error of the user's, None if it was not that.

    Args:
        error: ended the run.
        steps_done: optimizer steps before it.
    """
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    package = str(frame.f_globals.get('__name__')).split('.')[0]
    refused = steps_done == 0 and package in ('pytorch_lightning', 'lightning_fabric')
    return ConfigError(f'trainer: {one_line(error)}') if refused else None


def training_callbacks(run_folder: RunFolder | None, recorder: EvaluationRecorder | None, log: bool) -> list[Callback]:
    """Return the callbacks that every run has; without a folder, in a trial, only those that leave no traces."""
    callbacks: list[Callback] = []
    if run_folder and recorder:
        callbacks += [run_folder, recorder, EpochLines(), ExactResume(), StopBySignal()]
        callbacks += [KeepTime(), TrainedUntilAveraged(), TrainingPlan()]
        callbacks += [LearningRates()] * log
    return [*callbacks, BalancedClassWeights()]


def named_run(name: str | None) -> Path | None:
    """Return the folder of a run: a path, or else one in `work_dirs`, as for `--ckpt`."""
    if name is None:
        return None
    return next((path for path in (Path(name), WORK_DIRS / name) if path.is_dir()), Path(name))


def reached_end(file: Path, trainer: Trainer) -> str | None:
    """Return what to tell of a checkpoint that has nothing left to train, None if it has.

    Raises:
        CheckpointError: if no run can go on from it.
    """
    checkpoint = read_checkpoint(file)
    if 'loops' not in checkpoint:
        raise CheckpointError(f'{file} holds weights alone and no run; --load-from takes them')
    epochs = checkpoint['loops']['fit_loop']['epoch_progress']['current']['processed']
    done = {'step': (checkpoint['global_step'], trainer.max_steps), 'epoch': (epochs, trainer.max_epochs)}
    for unit, (at, end) in done.items():
        if end is not None and 0 <= end <= at:
            return f'{file} is at {unit} {at} of {end} already; raise --trainer.max_{unit}s to go on'
    return None


def summary(trainer: Trainer, run: RunFolder, best: BestCheckpoint, newest: IntervalCheckpoint) -> list[str]:
    """Return the lines that a run ends with: its figures, where it lies, how good it is, and what to type next."""
    checkpoint = best.best_model_path or newest.best_model_path
    lines = [metrics_table(trainer.callback_metrics, 'val'), f'Run        {run.folder}']
    if best.best_model_score is not None:
        score = float(best.best_model_score)
        shown = f'{score:.4g}' if best.metric == 'loss' else f'{100 * score:.2f} %'
        lines.append(f'Best {best.metric}  {shown}  ({Path(checkpoint).name})')
    if checkpoint:
        command = os.environ.get('SEGLIGHT_COMMAND', 'python -m seglight')
        path = shlex.quote(os.path.relpath(checkpoint))
        lines.append(f'Predict    {command} predict --ckpt {path} --overlays')
    return [line for line in lines if line]
