"""Stop runs with random settings at random points, resume them, and compare the results with an uninterrupted run.

    python scripts/resume_trials.py                      # 20 combinations
    python scripts/resume_trials.py --trials 200 --seed 7
    python scripts/resume_trials.py --only 7.13          # repeat combination 13 of seed 7

Prints a line for each; the exit status is 1 if any run ended differently.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from compare_runs import differences
from kill_test import CONFIG as SMALL
from kill_test import trial

from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.callbacks.checkpoints.base import SafeCheckpoint
from seglight.callbacks.time_limit import TimeLimit
from seglight.data.demo import generate
from seglight.models import Segmentor

#: The settings, each with its values and their flags; the first value is the default.
SETTINGS: dict[str, dict[str, list[str]]] = {
    'length': {
        'epochs': ['--trainer.max_epochs=3'],
        'steps': ['--trainer.max_steps=9', '--trainer.max_epochs=-1'],
    },
    'checkpoint': {
        'epoch': [],
        '1 step': ['--checkpoint.unit=iter'],
        '3 steps': ['--checkpoint.unit=iter', '--checkpoint.interval=3'],
    },
    'accumulation': {
        'none': [],
        'two': ['--trainer.accumulate_grad_batches=2'],
        'scheduler': [
            '--trainer.callbacks+=GradientAccumulationScheduler', '--trainer.callbacks.scheduling={0: 1, 1: 2}',
        ],
    },
    'averaging': {
        'none': [],
        'EMA': ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.decay=0.8'],
        'late EMA': ['--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.update_starting_at_step=6'],
        'EMA by epoch': [
            '--trainer.callbacks+=EMAWeightAveraging', '--trainer.callbacks.update_every_n_steps=0',
            '--trainer.callbacks.update_starting_at_epoch=1',
        ],
        'SWA': [
            '--trainer.callbacks+=StochasticWeightAveraging', '--trainer.callbacks.swa_lrs=0.02',
            '--trainer.callbacks.swa_epoch_start=2', '--trainer.callbacks.annealing_epochs=2',
        ],
    },
    'early stopping': {
        'none': [],
        'mIoU': [
            '--trainer.callbacks+=EarlyStopping', '--trainer.callbacks.monitor=val/mIoU',
            '--trainer.callbacks.mode=max', '--trainer.callbacks.patience=1',
        ],
    },
    'finder': {
        'none': [],
        'rate': ['--trainer.callbacks+=LearningRateFinder', '--trainer.callbacks.num_training_steps=8'],
        'batch': [
            '--trainer.callbacks+=BatchSizeFinder', '--trainer.callbacks.max_trials=1',
            '--trainer.callbacks.init_val=2',
        ],
    },
    'mixes': {
        'none': [],
        'CutMix': ['--data.mixes=[{type: CutMix, p: 0.7}]'],
        'Mosaic': ['--data.mixes=[{type: Mosaic, p: 0.7}]'],
    },
    'class balance': {'none': [], '0.6': ['--data.class_balance=0.6']},
    'validation': {'epoch': [], 'two batches': ['--trainer.val_check_interval=2']},
    'workers': {'0': ['--data.num_workers=0'], '2': ['--data.num_workers=2']},
    'schedule': {
        'poly': [],
        'by epoch': ['--model.schedule={_delete_: true, policy: step, step: [1], by_epoch: true}'],
    },
}  # fmt: skip

#: Signals that end a run: the method during which it is sent, and the maximum number of its calls.
KILLS: dict[str, tuple[type, str, int]] = {
    'SIGKILL in a step': (Segmentor, 'training_step', 11),
    'SIGKILL in validation': (Segmentor, 'validation_step', 5),
    'SIGKILL while writing': (AtomicCheckpointIO, 'save_checkpoint', 5),
    'SIGKILL while deleting': (SafeCheckpoint, 'prune', 5),
    'SIGTERM in a step': (Segmentor, 'training_step', 11),
    'SIGTERM in validation': (Segmentor, 'validation_step', 5),
}

#: All ways to end a run. With `max_steps`, the schedule must not depend on the length of the run.
STOPS = (*KILLS, 'max_time', 'max_steps')

#: Combinations that are not supported: SWA counts epochs, and adds one at the end.
IMPOSSIBLE = (
    {'averaging': 'SWA', 'length': 'steps'},
    {'averaging': 'SWA', 'accumulation': 'scheduler'},
)

#: The small run of `kill_test`, with another optimizer, and saved by the epoch.
CONFIG: dict[str, Any] = {
    **SMALL,
    '_base_': [name.replace('adamw', 'sgd') for name in SMALL['_base_']],
    'trainer': {'accelerator': 'cpu', 'log_every_n_steps': 1, 'max_time': '00:10:00:00'},
    'checkpoint': {'max_keep_ckpts': 2},
}


class Combination(NamedTuple):
    """Settings by name, and where the run is stopped, in each start except the last."""

    settings: dict[str, str]
    stops: list[tuple[str, int]]

    def flags(self) -> list[str]:
        """Return the flags of the settings."""
        found = [flag for name, value in self.settings.items() for flag in SETTINGS[name][value]]
        if any(stop == 'max_steps' for stop, _ in self.stops):
            found.append('--model.schedule={_delete_: true, policy: fixed}')
        return found

    def describe(self) -> str:
        """Return the settings other than the default, and the stops."""
        changed = [f'{name} {value}' for name, value in self.settings.items() if value != next(iter(SETTINGS[name]))]
        return f'{", ".join(changed) or "defaults"}: {", ".join(f"{stop} {call}" for stop, call in self.stops)}'


def draw(chance: random.Random) -> Combination:
    """Draw a supported combination."""
    while True:
        # Each setting has its default half of the time, so that few settings are combined.
        settings = {
            name: next(iter(values)) if chance.random() < 0.5 else chance.choice(list(values))
            for name, values in SETTINGS.items()
        }
        stops = [(stop, chance.randint(1, KILLS[stop][2] if stop in KILLS else 8)) for stop in drawn_stops(chance)]
        if any(wrong.items() <= settings.items() for wrong in IMPOSSIBLE):
            continue
        if settings['length'] == 'epochs' and any(stop == 'max_steps' for stop, _ in stops):
            continue
        return Combination(settings, stops)


def drawn_stops(chance: random.Random) -> list[str]:
    """Draw how a run is stopped, usually once, sometimes twice."""
    return [chance.choice(STOPS) for _ in range(chance.choice((1, 1, 2)))]


def end_at(step: int) -> None:
    """Make the time of a run be over at a step."""
    asked = TimeLimit.on_train_batch_start
    over = False

    def on_train_batch_start(self: TimeLimit, trainer: Any, *others: Any) -> None:
        nonlocal over
        over = trainer.global_step >= step
        asked(self, trainer, *others)

    TimeLimit.on_train_batch_start = on_train_batch_start  # type: ignore[method-assign, assignment]
    TimeLimit._is_over = lambda _: over  # type: ignore[method-assign, assignment]


def stopping(stop: str, call: int) -> Callable[[], None]:
    """Return a function that makes a process end in the n-th call of a method, or after n steps."""

    def arm() -> None:
        if stop == 'max_time':
            end_at(call)
        if stop not in KILLS:
            return
        owner, name, _ = KILLS[stop]
        method, calls = getattr(owner, name), iter(range(1, 10**6))

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL if 'SIGKILL' in stop else signal.SIGTERM)
            return method(*args, **kwargs)

        setattr(owner, name, wrapped)

    return arm


def found_by(combination: Combination, config: Path, folder: Path) -> list[str]:
    """Run a combination uninterrupted and stopped, and return the differences or faults; none if all is well."""
    command = ['fit', '--config', str(config), *combination.flags()]
    log = folder / 'log'
    whole = trial([*command, '--work-dir', str(folder / 'whole')], log)
    if whole:
        return [f'uninterrupted, it ended with status {whole}']
    resumed = [*command, '--work-dir', str(folder / 'stopped'), '--auto-resume']
    for stop, call in combination.stops:
        shorter = [f'--trainer.max_steps={call}'] if stop == 'max_steps' else []
        status = trial([*resumed, *shorter], log, stopping(stop, call))
        if status not in (0, 75, -signal.SIGKILL, -signal.SIGTERM):  # the last before the first step
            return [f'{stop} {call} ended with status {status}']
    status = trial(resumed, log)
    return [f'resumed, it ended with status {status}'] if status else differences(folder / 'whole', folder / 'stopped')


def prepare(folder: Path) -> Path:
    """Write 8 training images, four batches, and the common config."""
    generate(folder / 'data', seed=1, counts={'train': 8, 'val': 4, 'test': 1}, size=64)
    path = folder / 'config.yaml'
    path.write_text(yaml.safe_dump({**CONFIG, 'data': {**CONFIG['data'], 'root': str(folder / 'data')}}))
    return path


def main() -> int:
    """Run the trials and print each result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--trials', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', help='seed and number of one combination, such as 0.3')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seed, only = arguments.seed, None
    if arguments.only:
        seed, only = map(int, arguments.only.split('.'))
    differ = 0
    with tempfile.TemporaryDirectory() as name:
        config = prepare(Path(name))
        for number in range(arguments.trials) if only is None else [only]:
            combination = draw(random.Random(f'{seed}.{number}'))
            folder = Path(name) / str(number)
            folder.mkdir()
            try:
                found = found_by(combination, config, folder)
            except Exception:
                found = [traceback.format_exc()]
            print(f'{seed}.{number} {combination.describe()}: {found or "identical"}', flush=True)
            if found:
                differ += 1
                print((folder / 'log').read_text(errors='replace')[-6000:], file=sys.stderr, flush=True)
            shutil.rmtree(folder)
    print(f'{differ} of {arguments.trials if only is None else 1} ended differently')
    return int(differ > 0)


if __name__ == '__main__':
    sys.exit(main())
