"""The command."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from gpu import wheels
from gpu.plan import ENVIRONMENT, PLAN, Planned
from gpu.results import Results, Section
from gpu.supervisor import Supervisor, Worker
from seglight.errors import SetupError, UsageError, UserError

SCRIPTS = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prepare or run the check and return the exit status."""
    options = make_parser().parse_args(arguments)
    try:
        if options.prepare:
            return _prepare(options.prepare, options.also)
        if options.out is None:
            raise UsageError('give --out, the folder of the results, or --prepare')
        return _check(options)
    except UserError as error:
        print(f'gpu_check: {error}', file=sys.stderr)
        return error.status


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog='gpu_check', description='Check correctness and speed on a GPU.')
    parser.add_argument('--prepare', type=Path, metavar='DIR', help='collect the wheels for the other machine in DIR')
    parser.add_argument('--also', nargs='+', default=[], metavar='NAME', help='with --prepare: large packages to add')
    parser.add_argument('--wheels', type=Path, metavar='DIR', help='install what is missing from DIR, temporarily')
    parser.add_argument('--out', type=Path, metavar='DIR', help='folder of the results')
    parser.add_argument('--minutes', type=float, default=8.0, help='end after this time')
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--tiny', action='store_true', help='tiny models and images, as a trial of the check itself')
    parser.add_argument('--only', nargs='+', metavar='SECTION', help=f'of {", ".join(each.name for each in PLAN)}')
    return parser


def _prepare(folder: Path, also: Sequence[str]) -> int:
    sizes = wheels.prepare(folder, also)
    print(f'{len(sizes)} wheels, {sum(sizes.values()) / 2**20:.1f} MiB, in {folder}')
    carried = ', '.join(name for name in wheels.EXPECTED if name not in also)
    print(f'the machine must have Python {wheels.PYTHON} and {carried}')
    return 0


class Stopped(BaseException):
    """A signal to stop, with its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _check(options: argparse.Namespace) -> int:
    """Run the sections and return 1 if one failed or found a wrong result."""
    start = time.monotonic()
    plan = chosen(options.only)
    folder = Path(tempfile.mkdtemp(prefix='gpu_check-'))
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        results = Results(options.out, [Section(each.name, each.title) for each in plan])
        results.settings = {'device': options.device, 'tiny': options.tiny, 'minutes': options.minutes}
        if options.wheels:
            results.settings['installed'] = len(wheels.install(options.wheels, folder / 'site'))
        sys.path.insert(0, str(folder / 'site'))
        if lacking := wheels.missing():
            raise SetupError(f'this Python lacks {", ".join(lacking)}; install them, or carry them (--prepare --also)')
        supervisor = Supervisor(results, _starter(options, folder), start + 60 * options.minutes)
        try:
            supervisor.run(plan)
        finally:
            results.settings['seconds'] = round(time.monotonic() - start)
            results.write()
            print(results.markdown(), flush=True)
    except Stopped as stopped:
        print('gpu_check: stopped', file=sys.stderr)
        return 128 + stopped.number
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        shutil.rmtree(folder, ignore_errors=True)
    return int(any(section.is_wrong for section in results.sections))


def chosen(names: Sequence[str] | None) -> list[Planned]:
    """Return the sections with these names, all by default.

    Raises:
        UsageError: for an unknown name.
    """
    known = {each.name for each in PLAN}
    for name in names or ():
        if name not in known:
            raise UsageError(f'--only must be of {", ".join(sorted(known))}, got {name}')
    return [each for each in PLAN if not names or each.name in names]


def _stop(number: int, frame: FrameType | None) -> None:
    del frame
    raise Stopped(number)


def _starter(options: argparse.Namespace, folder: Path) -> Callable[[str], Worker]:
    """Return a function that starts the worker of a phase, with the installed wheels and this clone on its path."""
    lab = json.dumps({'device': options.device, 'tiny': options.tiny, 'folder': str(folder)})
    command = [sys.executable, '-m', 'gpu.worker', lab]
    paths = [folder / 'site', SCRIPTS.parent, SCRIPTS, SCRIPTS / 'bench']
    inherited = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    path = os.pathsep.join([*map(str, paths), *filter(None, inherited)])

    def start(phase: str) -> Worker:
        own = {'XDG_CACHE_HOME': str(folder / 'cache'), 'MPLCONFIGDIR': str(folder / 'cache')}
        environment = {'PYTHONPATH': path, **own, **ENVIRONMENT.get(phase, {})}
        return Worker(command, environment, options.out / 'gpu_check.log')

    return start
