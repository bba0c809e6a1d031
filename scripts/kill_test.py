"""Kill runs with SIGKILL at random moments, resume them, and compare the results with an uninterrupted run.

    python scripts/kill_test.py            # 20 kills, half of them with two loader workers
    python scripts/kill_test.py --kills 50 --seed 7

Prints a table; the exit status is 1 if any run ended differently.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from compare_runs import differences

from seglight.__main__ import run
from seglight.callbacks.checkpoints.atomic import AtomicCheckpointIO
from seglight.callbacks.checkpoints.base import SafeCheckpoint
from seglight.cli.command_line import CommandLine
from seglight.data.demo import generate
from seglight.models import Segmentor

#: The moments at which a run is killed, each with the method that is running then.
MOMENTS: dict[str, tuple[type, str]] = {
    'at start-up': (CommandLine, 'instantiate_classes'),
    'in a training step': (Segmentor, 'training_step'),
    'while writing a checkpoint': (AtomicCheckpointIO, 'save_checkpoint'),
    'in validation': (Segmentor, 'validation_step'),
    'while deleting old checkpoints': (SafeCheckpoint, 'prune'),
}

#: With dropout, so that the random state matters, and with checkpoints in the middle of epochs.
CONFIG: dict[str, Any] = {
    '_base_': ['models/fpn_r18.yaml', 'datasets/trash.yaml', 'schedules/adamw_poly.yaml', 'runtime.yaml'],
    'model': {
        'segmentor': {
            'backbone': {'base_channels': 8, 'stem_channels': 8},
            'neck': {'in_channels': [8, 16, 32, 64]},
        }
    },
    'data': {
        'train_transforms': [
            {'type': 'HorizontalFlip', 'p': 0.5},
            {'type': 'RandomCrop', 'height': 48, 'width': 48},
        ],
        'batch_size': 2,
    },
    'trainer': {'max_epochs': 3, 'accelerator': 'cpu', 'log_every_n_steps': 1},
    'checkpoint': {'interval': 3, 'unit': 'iter', 'max_keep_ckpts': 2},
    'report': False,  # drawing it takes longer than the run
}


class Kill(NamedTuple):
    """One kill: the moment, the number of the call of its method, and the position in the call, from 0 to 1."""

    moment: str
    call: int
    share: float


def trial(argv: list[str], log: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Run a command in a forked process and return its status, -9 if it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        with log.open('a') as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        status = 1
        try:
            prepare()
            status = run(argv)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def arm(kill: Kill, seconds: float) -> None:
    """Kill this process `share * seconds` after the n-th call of a method starts."""
    owner, name = MOMENTS[kill.moment]
    method, calls = getattr(owner, name), iter(range(1, 10**6))

    @functools.wraps(method)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == kill.call:
            threading.Timer(kill.share * seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return method(*args, **kwargs)

    setattr(owner, name, wrapped)


def measure(path: Path) -> None:
    """Record the number and duration of calls of the methods in `MOMENTS`, for the uninterrupted run."""

    def timed(moment: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.monotonic()
            result = method(*args, **kwargs)
            with path.open('a') as file:
                file.write(f'{moment}\t{time.monotonic() - start}\n')
            return result

        return wrapped

    for moment, (owner, name) in MOMENTS.items():
        setattr(owner, name, timed(moment, getattr(owner, name)))


def prepare(folder: Path) -> None:
    """Write the data and the configs for 0 and 2 workers."""
    generate(folder / 'data', seed=1, counts={'train': 8, 'val': 4, 'test': 1}, size=64)
    for workers in (0, 2):
        data = {**CONFIG['data'], 'root': str(folder / 'data'), 'num_workers': workers}
        (folder / f'{workers}.yaml').write_text(yaml.safe_dump({**CONFIG, 'data': data}))


def main() -> int:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chance = random.Random(arguments.seed)
    table: dict[str, list[bool]] = {moment: [] for moment in MOMENTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        prepare(folder)
        for workers in (0, 2):
            status = trial(_command(workers, f'whole{workers}'), folder / 'log', lambda: measure(folder / 'times'))
            assert status == 0, (folder / 'log').read_text()
        times = [line.split('\t') for line in (folder / 'times').read_text().splitlines()]
        seconds = {moment: [float(time) for name, time in times if name == moment] for moment in MOMENTS}
        for number in range(arguments.kills):
            moment, workers = list(MOMENTS)[number % len(MOMENTS)], 2 * (number // len(MOMENTS) % 2)
            spent = seconds[moment]
            kill = Kill(moment, chance.randint(1, len(spent) // 2), chance.random())
            table[moment].append(survives(kill, sum(spent) / len(spent), workers, f'killed{number}'))
    print(f'\n{"killed":<32} {"runs":>4}  identical')
    for moment, alike in table.items():
        print(f'{moment:<32} {len(alike):>4}  {sum(alike)}')
    return int(not all(all(alike) for alike in table.values()))


def survives(kill: Kill, seconds: float, workers: int, folder: str) -> bool:
    """Kill a run, resume it, and return whether its results are identical to those of the uninterrupted run."""
    log = Path(f'{folder}.log')
    killed = trial(_command(workers, folder), log, lambda: arm(kill, seconds))
    resumed = trial([*_command(workers, folder), '--auto-resume'], log)
    found = [f'status {killed}, then {resumed}'] if (killed, resumed) != (-signal.SIGKILL, 0) else []
    found = found or differences(Path(f'whole{workers}'), Path(folder))
    start = next((line for line in log.read_text().splitlines() if 'from' in line and folder in line), 'new')
    print(f'{kill.moment}, call {kill.call}, {workers} workers: {start}: {found or "identical"}', flush=True)
    if found:
        print(log.read_text(), file=sys.stderr)
    return not found


def _command(workers: int, folder: str) -> list[str]:
    return ['fit', '--config', f'{workers}.yaml', '--work-dir', folder]


if __name__ == '__main__':
    sys.exit(main())
