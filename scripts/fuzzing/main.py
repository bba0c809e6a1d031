"""The command: generate inputs by number, run them, and print the results."""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from seglight.cli.command_line import CommandLine  # noqa: F401  (first: it patches what the others import)

# isort: split
import torch

from fuzzing.cases import KINDS, make_case
from fuzzing.corpus import Corpus, command, make_corpus
from fuzzing.sandbox import Limits, Outcome, Watch, run_in_sandbox, warm_names
from fuzzing.warm import warm_up

#: Modules that commands load themselves, so that importing them is not a failure.
LATE = (
    *('seglight', 'mmseg', 'mmcls', 'mmcv', 'torch', 'torchvision', 'albumentations', 'matplotlib', 'PIL', 'scipy'),
    'prettytable',  # which mmseg's data sets load
)


def main() -> int:
    """Run the inputs and return 1 if there was a failure."""
    parser = argparse.ArgumentParser(description='Damage inputs of every kind and run the commands that take them.')
    parser.add_argument('--count', type=int, default=2000)
    parser.add_argument('--first', type=int, default=0, help='The number of the first input.')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', type=int, help='The number of one input.')
    parser.add_argument('--keep', type=Path, help='Folder for the inputs that fail.')
    parser.add_argument('--jobs', type=int, default=1, help='Inputs at a time.')
    parser.add_argument('--counts', type=Path, help='JSON file for the counts by kind, command and result.')
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        numbers = range(arguments.first, arguments.first + arguments.count)
        if arguments.only is not None:
            numbers = range(arguments.only, arguments.only + 1)
        table = Table(arguments.counts and arguments.counts.absolute())
        lab = Lab(Path(folder), arguments.seed, arguments.keep and arguments.keep.absolute())
        for trial in run_all(lab, numbers, arguments.jobs):
            table.add(trial)
            if trial.outcome.faults:
                print(trial.text(), flush=True)
            elif arguments.only is not None:
                print(trial.outcome.printed)
        table.write()
        print(table.text())
    return int(table.failures > 0)


class Trial(NamedTuple):
    """One input: its number and kind, the command, and the outcome."""

    number: int
    kind: str
    argv: list[str]
    outcome: Outcome

    @property
    def command(self) -> str:
        """The words of the command without its arguments."""
        return ' '.join(self.argv[: 2 if self.argv[0] == 'data' else 1])

    def text(self) -> str:
        """Return the failure, and the last printed lines."""
        last = self.outcome.printed.strip().splitlines()[-4:]
        faults = '; '.join(self.outcome.faults)
        return '\n    '.join([f'{self.number}  {self.kind}  {" ".join(self.argv)}', faults, *last])


def run_all(lab: Lab, numbers: Sequence[int], jobs: int = 1) -> Iterator[Trial]:
    """Yield the result of each input in order; the inputs do not depend on the number of jobs."""
    gc.collect()
    gc.freeze()  # so that forks do not copy pages only to count references in them
    if jobs == 1:
        yield from map(lab.try_input, numbers)
        return
    _labs.append(lab)  # for the forks
    with ProcessPoolExecutor(jobs, multiprocessing.get_context('fork')) as pool:  # of which each may fork further
        yield from pool.map(_try_input, numbers)


_labs: list[Lab] = []


def _try_input(number: int) -> Trial:
    """Run an input in a fork."""
    return _labs[-1].try_input(number)


class Lab:
    """Generates and runs inputs, each of which depends only on the seed and its number.

    Args:
        root: an empty folder.
        seed: of all inputs.
        keep: where the files of inputs that fail are copied to.
    """

    def __init__(self, root: Path, seed: int, keep: Path | None = None) -> None:
        self.seed = seed
        self.keep = keep
        for name, value in {'HOME': 'home', 'XDG_CACHE_HOME': 'home/cache', 'TMPDIR': 'home/tmp'}.items():
            os.environ[name] = str(root / value)
        (root / 'corpus').mkdir()
        self.corpus: Corpus = make_corpus(root / 'corpus')
        warm_up()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which training took over
        self.canary = root / 'canary'
        self.canary.mkdir()
        for name in ('secret', 'weights.pkl', 'weights.npy', 'base.yaml', 'photo.jpg'):
            (self.canary / name).write_bytes(b'\x80\x04N.')
        self.root = root
        self.known = warm_names(LATE)

    def try_input(self, number: int) -> Trial:
        """Generate an input, run it, and return the result."""
        rng = random.Random(f'{self.seed} {number}')
        kind = rng.choices(list(KINDS), [share for _, share in KINDS.values()])[0]
        folder = self.root / f'case{number:06}'
        folder.mkdir()
        (folder / 'cache/seglight').mkdir(parents=True)
        (folder / 'cache/seglight/demo-v1').symlink_to(self.root / 'corpus/data')  # the real one takes long to generate
        (folder / 'fuzz_canary.py').write_text('raise RuntimeError("imported because an input names it")\n')
        with _many_levels():
            case = make_case(kind, self.corpus, folder, self.canary, rng)
        os.environ.update({'HOME': str(folder), 'XDG_CACHE_HOME': str(folder / 'cache'), 'TMPDIR': str(folder)})
        tempfile.tempdir = None
        sys.path[:] = ['', *[path for path in sys.path if path]]  # as `python -m` has it
        outcome = run_in_sandbox(case.call or command(*case.argv), Watch(folder, self.canary, self.known), Limits())
        outcome.faults = [fault for fault in outcome.faults if not fault.startswith(case.allowed)]
        if outcome.faults and self.keep:
            shutil.copytree(folder, self.keep / str(number), dirs_exist_ok=True)
        shutil.rmtree(folder)
        return Trial(number, kind, case.argv, outcome)


@contextlib.contextmanager
def _many_levels() -> Iterator[None]:
    """Allow deeply nested values to be written; the commands keep Python's own limit."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Table:
    """Counts of results by kind of input.

    Args:
        path: a JSON file for the counts by kind, command and result; it is written every 100 inputs.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
        self.by_command: Counter[tuple[str, str, str]] = Counter()
        self.slowest = 0.0
        self.processor = 0.0

    @property
    def failures(self) -> int:
        """The number of failed inputs."""
        return sum(counts['failed'] for counts in self.counts.values())

    def add(self, trial: Trial) -> None:
        """Count an input."""
        outcome = trial.outcome
        done = 'failed' if outcome.faults else 'worked' if outcome.status == 0 else 'refused'
        self.counts[trial.kind][done] += 1
        self.by_command[trial.kind, trial.command, done] += 1
        if self.by_command.total() % 100 == 0:
            self.write()
        self.slowest = max(self.slowest, outcome.processor)
        self.processor += outcome.processor

    def write(self) -> None:
        """Write the counts so far."""
        if self.path:
            rows = [[*names, count] for names, count in sorted(self.by_command.items())]
            self.path.write_text(json.dumps(rows, indent=0))

    def text(self) -> str:
        """Return the table."""
        columns = ('worked', 'refused', 'failed')
        lines = [f'{"":24}' + ''.join(f'{name:>9}' for name in columns)]
        lines += [
            f'{kind:24}' + ''.join(f'{counts[name]:9}' for name in columns) for kind, counts in self.counts.items()
        ]
        total = [sum(counts[name] for counts in self.counts.values()) for name in columns]
        lines.append(f'{"all":24}' + ''.join(f'{count:9}' for count in total))
        mean = self.processor / max(sum(total), 1)
        return '\n'.join([*lines, f'processor time: {mean:.2f} s for an input, {self.slowest:.1f} s for the slowest'])
