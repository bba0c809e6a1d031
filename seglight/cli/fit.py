"""The arguments that seglight adds to `fit`, its default callbacks, and its summary."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import LearningRateFinder
from pytorch_lightning.utilities import rank_zero_only

from seglight.callbacks import (
    AveragedAtEnd,
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
from seglight.callbacks.averaging import averaging_epochs
from seglight.callbacks.console import metrics_table, unseen_note
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.checkpoints.load import load_weights
from seglight.cli.commands.cluster import add_fit_on_ray
from seglight.cli.continuation import find_continuation
from seglight.cli.request import Request
from seglight.competition.resolving import RAY_KEYS
from seglight.config.class_names import difference, order_of
from seglight.console import labelled, program
from seglight.counting import counted
from seglight.errors import CheckpointError, ConfigError, UsageError, say, warn
from seglight.files import WORK_DIRS, in_work_dirs
from seglight.models import Segmentor
from seglight.models.schedules import heeds_rate
from seglight.run_lock import RunLock
from seglight.trainer_callbacks import find_callback

_UNLIMITED = 'at least 1, or -1 for no limit'

#: The minimum of arguments of Lightning's `Trainer`, and a description of the valid values.
MINIMUM = {
    'accumulate_grad_batches': (1, 'at least 1'),
    'check_val_every_n_epoch': (1, 'at least 1 (trainer.limit_val_batches: 0 disables validation)'),
    'gradient_clip_val': (0, 'a norm above 0, or 0 or null for no clipping'),
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
    add_fit_on_ray(parser)
    parser.add_lightning_class_args(IntervalCheckpoint, 'checkpoint')
    parser.add_lightning_class_args(BestCheckpoint, 'best_checkpoint')
    parser.add_lightning_class_args(WandbRun, 'wandb')


def check_trainer(trainer: Any) -> None:
    """Reject numbers that Lightning accepts, but divides by, ignores, or trains nothing with.

    Args:
        trainer: the arguments of Lightning's `Trainer`.

    Raises:
        ConfigError: names the key.
    """
    for name, (minimum, valid) in MINIMUM.items():
        value, unlimited = trainer[name], name in ('max_epochs', 'max_steps')
        if isinstance(value, (int, float)) and not value >= minimum and not (unlimited and value == -1):
            raise ConfigError(f'trainer.{name}', f'must be {valid}, got {value}')
    if trainer.max_time is not None and not re.search('[1-9]', str(trainer.max_time)):
        raise ConfigError('trainer.max_time', f'must be above 0, got {trainer.max_time}')
    if trainer.val_check_interval == 0:
        message = 'must be above 0, got 0 (trainer.limit_val_batches: 0 disables validation)'
        raise ConfigError('trainer.val_check_interval', message)


def check_finder(trainer: Trainer, schedule: dict[str, Any]) -> None:
    """Reject Lightning's `LearningRateFinder` with the policy OneCycle, whose rates depend only on its `max_lr`.

    Raises:
        ConfigError: for this combination.
    """
    if find_callback(trainer, LearningRateFinder) and not heeds_rate(schedule):
        raise ConfigError(
            'trainer.callbacks',
            'LearningRateFinder finds optimizer.lr, but the policy OneCycle uses only max_lr; '
            'search with another policy, for example fixed, and set max_lr to the result',
        )


def training_callbacks(run_folder: RunFolder | None, recorder: EvaluationRecorder | None, log: bool) -> list[Callback]:
    """Return the callbacks of every run; for `fast_dev_run`, which has no folder, only those that write no files."""
    callbacks: list[Callback] = []
    if run_folder and recorder:
        callbacks += [run_folder, recorder, EpochLines(), ExactResume(), StopBySignal()]
        callbacks += [KeepTime(), TrainedUntilAveraged(), AveragedAtEnd(), TrainingPlan()]
        callbacks += [LearningRates()] * log
    return callbacks


def check_no_ray(config: Any) -> None:
    """Reject the keys of Ray in a config file: only on the command line do they start processes of Ray.

    Raises:
        ConfigError: names the key.
    """
    for name in RAY_KEYS:
        if config[name] is not None:
            raise ConfigError(name, 'must be given on the command line, for example --ray local')


def find_start(request: Request, config: Any, run_config: str) -> bool:
    """Find where a run resumes, and store it in the request and the config.

    Args:
        request: the request; receives the checkpoint.
        config: the values of the arguments of `fit`; receives the checkpoint and the folder of the run.
        run_config: the resolved config, by which `--auto-resume` finds the run.

    Returns:
        Whether the run resumes in its own folder.

    Raises:
        UsageError: for flags that contradict each other.
    """
    if request.arguments.has('--ckpt_path'):
        for name in ('load_from', 'auto_resume'):
            if request.arguments.has(f'--{name}') and config[name]:
                flag = name.replace('_', '-')
                raise UsageError(f'--ckpt and --{flag} each choose where training starts; give one of them')
    if config.ckpt_path:
        path = Path(config.ckpt_path)
        if request.checkpoint is None:  # a config file names it
            request.checkpoint = Checkpoint(path)
            request.checkpoint.verify()
        return bool(config.work_dir) and Path(config.work_dir).resolve() == path.resolve().parent
    if not config.auto_resume:
        return False
    run = find_continuation(run_config, WORK_DIRS, named_run(config.work_dir))
    request.checkpoint = run.checkpoint
    config.work_dir = str(run.folder) if run.folder else None
    config.ckpt_path = None if run.checkpoint is None else str(run.checkpoint)
    if run.folder:
        rank_zero_only(RunLock(run.folder).check)()
    rank_zero_only(say)('\n'.join(run.notices))
    return run.folder is not None


def take_weights(module: Segmentor, checkpoint: Checkpoint) -> None:
    """Load the weights of another model, and print which were loaded."""
    loaded = load_weights(module.segmentor, checkpoint)
    rank_zero_only(say)('\n'.join(filter(None, [loaded.table(), loaded.anew(module.classes)])))
    if warning := loaded.doubt(module.classes):
        rank_zero_only(warn)(warning)


def check_continuation(checkpoint: Checkpoint, trainer: Trainer, module: Segmentor, auto: bool) -> None:
    """Reject a checkpoint with other classes, or at the end of its run unless `--auto-resume` found it.

    Raises:
        UserError: names the checkpoint.
    """
    check_classes(checkpoint, module.classes)
    message = reached_end(checkpoint, trainer, module)
    if message and not auto:
        raise UsageError(message)
    if message:
        rank_zero_only(say)(message)


def named_run(name: str | None) -> Path | None:
    """Return the folder of a run: a path, or relative to `work_dirs`, as for `--ckpt`."""
    if name is None:
        return None
    return next((path for path in in_work_dirs(name) if path.is_dir()), Path(name))


def reached_end(checkpoint: Checkpoint, trainer: Trainer, module: LightningModule) -> str | None:
    """Return a message if a checkpoint is at the end of its run, and None if it is not.

    Raises:
        CheckpointError: if training cannot resume from it.
    """
    entries = checkpoint.entries
    if 'loops' not in entries:
        raise CheckpointError(
            f'{checkpoint} contains only weights: training cannot resume from it; use --load-from to load them'
        )
    try:
        epochs = int(entries['loops']['fit_loop']['epoch_progress']['current']['processed'])
        steps = int(entries['global_step'])
    except (TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise CheckpointError(f'cannot resume from {checkpoint}: it has no count of its epochs or steps') from error
    end = trainer.max_epochs
    if end is not None and end > 0:
        end += averaging_epochs(trainer, module)
    done = {'step': (steps, trainer.max_steps), 'epoch': (epochs, end)}
    for unit, (at, end) in done.items():
        if end is not None and 0 <= end <= at:
            return f'{checkpoint} is already at {unit} {at} of {end}; raise --trainer.max_{unit}s to continue'
    return None


def tried(trainer: Trainer) -> str:
    """Return the last line of a run with `trainer.fast_dev_run`."""
    batches = counted(trainer.fast_dev_run, 'batch')  # type: ignore[attr-defined]
    text = f'{batches} each of train and val, without errors; nothing was written (trainer.fast_dev_run)'
    return labelled('Tried', text)


def check_classes(checkpoint: Checkpoint, classes: Sequence[str]) -> None:
    """Reject the classes of a checkpoint in a different order; warn if their names differ.

    Raises:
        ConfigError: names the first classes that differ.
    """
    stored = checkpoint.classes
    text = difference(stored, classes) if len(stored) == len(classes) else ''
    if text and order_of(stored, classes):
        raise ConfigError('data.classes', f'must be in the order of {checkpoint}, which {text}')
    if text:
        warn(f'{checkpoint} {text}')


def summary(trainer: Trainer, run: RunFolder, best: BestCheckpoint, newest: IntervalCheckpoint) -> list[str]:
    """Return the last lines of a run: its metrics, its folder, the best metric, and the command to predict."""
    checkpoint = best.best_model_path or newest.best_model_path
    unseen = getattr(trainer.lightning_module, 'unseen', [])
    # With ddp_spawn, this process knows only the checkpoint.
    folder = run.folder or (Path(checkpoint).parent if checkpoint else None)
    lines = [metrics_table(trainer.callback_metrics, 'val', unseen), labelled('Run', folder)]
    if best.best_model_score is not None:
        note = f'  {unseen_note(unseen)}' if unseen else ''
        score = float(best.best_model_score)
        shown = f'{score:.4g}' if best.metric == 'loss' else f'{100 * score:.2f} %'
        lines.append(f'Best {best.metric}  {shown}  ({Path(checkpoint).name}){note}')
    if checkpoint:
        path = shlex.quote(os.path.relpath(checkpoint))
        lines.append(labelled('Predict', f'{program()} predict --ckpt {path} --overlays'))
    return [line for line in lines if line]
