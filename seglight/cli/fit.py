"""What `fit` takes beside Lightning's arguments, the callbacks that it always has, and what it says at its end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.utilities import rank_zero_only

from seglight.callbacks import (
    AveragedAtEnd,
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
from seglight.callbacks.auto_resume import find_continuation
from seglight.callbacks.averaging import averaging_epochs
from seglight.callbacks.console import metrics_table, unseen_note
from seglight.callbacks.find import find_callback
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.load import load_weights
from seglight.cli.request import Request
from seglight.config.class_names import difference, order_of
from seglight.console import labelled
from seglight.counting import counted
from seglight.errors import CheckpointError, ConfigError, UsageError, say, warn
from seglight.files import WORK_DIRS, in_work_dirs
from seglight.models import Segmentor
from seglight.models.schedules import heeds_rate
from seglight.run_lock import RunLock

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
        '--load_from', type=str | None, help='Load only the weights from this checkpoint (fine-tuning).'
    )
    parser.add_argument('--tags', type=list[str], default=[], help='Labels for the run, also in W&B.')
    parser.add_argument(
        '--work_dir', type=str | None, help=f'Folder of the run, by default the next free {WORK_DIRS}/exp{{N}}.'
    )
    parser.add_argument(
        '--auto_resume',
        action='store_true',
        help='Resume the newest run of this config, or the run in --work-dir, from its newest intact checkpoint.',
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
            raise ConfigError(f'trainer.{name}', f'is {value}; {advice}')
    if trainer.limit_train_batches == 0:
        message = 'is 0, which trains nothing; give 1 or more batches, or a share of them'
        raise ConfigError('trainer.limit_train_batches', message)


def check_finder(trainer: Trainer, schedule: dict[str, Any]) -> None:
    """Refuse Lightning's `LearningRateFinder` with the policy OneCycle, whose rates its own `max_lr` alone decides.

    Raises:
        ConfigError: names both.
    """
    if find_callback(trainer, LearningRateFinder) and not heeds_rate(schedule):
        raise ConfigError(
            'trainer.callbacks',
            'LearningRateFinder finds optimizer.lr, but in the policy OneCycle max_lr alone decides; '
            'search with another policy, such as fixed, and give what it finds as max_lr',
        )


def training_callbacks(run_folder: RunFolder | None, recorder: EvaluationRecorder | None, log: bool) -> list[Callback]:
    """Return the callbacks that every run has; without a folder, in a trial, only those that leave no traces."""
    callbacks: list[Callback] = []
    if run_folder and recorder:
        callbacks += [run_folder, recorder, EpochLines(), ExactResume(), StopBySignal()]
        callbacks += [KeepTime(), TrainedUntilAveraged(), AveragedAtEnd(), TrainingPlan()]
        callbacks += [LearningRates()] * log
    return [*callbacks, BalancedClassWeights()]


def find_start(request: Request, config: Any, run_config: str) -> bool:
    """Find out where a run goes on, and put that into its request and its config.

    Args:
        request: gets the checkpoint.
        config: the values of the arguments of `fit`; gets the checkpoint and the folder of the run.
        run_config: the resolved config, by which `--auto-resume` finds the run.

    Returns:
        Whether the run goes on in its own folder.
    """
    if config.ckpt_path:
        path = Path(config.ckpt_path)
        if request.checkpoint is None:  # a config file names it
            request.checkpoint = Checkpoint(path)
            request.checkpoint.verify()
        return bool(config.work_dir) and Path(config.work_dir).resolve() == path.resolve().parent
    if not config.auto_resume:
        return False
    found = find_continuation(run_config, WORK_DIRS, named_run(config.work_dir))
    request.checkpoint = found.checkpoint
    config.work_dir = str(found.folder) if found.folder else None
    config.ckpt_path = None if found.checkpoint is None else str(found.checkpoint)
    if found.folder:
        rank_zero_only(RunLock(found.folder).check)()
    rank_zero_only(say)('\n'.join(found.notices))
    return found.folder is not None


def take_weights(module: Segmentor, checkpoint: Checkpoint, trust: bool) -> None:
    """Load the weights of another model, and print what was taken."""
    loaded = load_weights(module.segmentor, checkpoint.path, trust)
    rank_zero_only(say)(loaded.table())
    if doubt := loaded.doubt(module.classes):
        rank_zero_only(warn)(doubt)


def check_continuation(checkpoint: Checkpoint, trainer: Trainer, module: Segmentor, auto: bool) -> None:
    """Refuse a checkpoint of other classes, and one at the end of its run, unless `--auto-resume` found it.

    Raises:
        UserError: names the checkpoint.
    """
    check_classes(checkpoint, module.classes)
    reached = reached_end(checkpoint, trainer, module)
    if reached and not auto:
        raise UsageError(reached)
    if reached:
        rank_zero_only(say)(reached)


def named_run(name: str | None) -> Path | None:
    """Return the folder of a run: a path, or else one in `work_dirs`, as for `--ckpt`."""
    if name is None:
        return None
    return next((path for path in in_work_dirs(name) if path.is_dir()), Path(name))


def reached_end(checkpoint: Checkpoint, trainer: Trainer, module: LightningModule) -> str | None:
    """Return what to tell of a checkpoint that has nothing left to train, None if it has.

    Raises:
        CheckpointError: if no run can go on from it.
    """
    entries = checkpoint.entries
    if 'loops' not in entries:
        raise CheckpointError(f'{checkpoint} holds weights alone and no run; --load-from takes them')
    try:
        epochs = int(entries['loops']['fit_loop']['epoch_progress']['current']['processed'])
    except (TypeError, ValueError, LookupError) as error:
        raise CheckpointError(f'{checkpoint} cannot be resumed from: its loops have no count of epochs') from error
    end = trainer.max_epochs
    if end is not None and end > 0:
        end += averaging_epochs(trainer, module)
    done = {'step': (entries['global_step'], trainer.max_steps), 'epoch': (epochs, end)}
    for unit, (at, end) in done.items():
        if end is not None and 0 <= end <= at:
            return f'{checkpoint} is at {unit} {at} of {end} already; raise --trainer.max_{unit}s to go on'
    return None


def tried(trainer: Trainer) -> str:
    """Return the line that `trainer.fast_dev_run` ends with."""
    batches = counted(trainer.fast_dev_run, 'batch')  # type: ignore[attr-defined]
    text = f'{batches} of train and of val without a fault; nothing was written (trainer.fast_dev_run)'
    return labelled('Tried', text)


def check_classes(checkpoint: Checkpoint, classes: Sequence[str]) -> None:
    """Refuse to go on with the classes of a checkpoint in another order; say so where their names are others.

    Raises:
        ConfigError: names the first that differ.
    """
    stored = checkpoint.classes
    text = difference(stored, classes) if len(stored) == len(classes) else ''
    if text and order_of(stored, classes):
        raise ConfigError('data.classes', f'must be in the order of {checkpoint}, which {text}')
    if text:
        warn(f'{checkpoint} {text}')


def summary(trainer: Trainer, run: RunFolder, best: BestCheckpoint, newest: IntervalCheckpoint) -> list[str]:
    """Return the lines that a run ends with: its figures, where it lies, how good it is, and what to type next."""
    checkpoint = best.best_model_path or newest.best_model_path
    unseen = getattr(trainer.lightning_module, 'unseen', [])
    # What spawned processes trained (ddp_spawn) is known here by the checkpoint alone.
    folder = run.folder or (Path(checkpoint).parent if checkpoint else None)
    lines = [metrics_table(trainer.callback_metrics, 'val', unseen), labelled('Run', folder)]
    if best.best_model_score is not None:
        note = f'  {unseen_note(unseen)}' if unseen else ''
        score = float(best.best_model_score)
        shown = f'{score:.4g}' if best.metric == 'loss' else f'{100 * score:.2f} %'
        lines.append(f'Best {best.metric}  {shown}  ({Path(checkpoint).name}){note}')
    if checkpoint:
        command = os.environ.get('SEGLIGHT_COMMAND', 'python -m seglight')
        path = shlex.quote(os.path.relpath(checkpoint))
        lines.append(labelled('Predict', f'{command} predict --ckpt {path} --overlays'))
    return [line for line in lines if line]
