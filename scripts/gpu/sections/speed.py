"""Images per second of training: seglight, a bare loop over a batch in memory, and mmcv's Runner, in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from sides import Clock, Task, bare_loop, mmcv_runner, mmsegs_own, quieten, seglight_data, seglight_trainer

from gpu.attempts import failure
from gpu.lab import Lab, float32
from gpu.results import GOAL, Row
from seglight.cores import cores

#: At least these: the share of the bare loop, and in mixed precision the ratio to mmcv's Runner.
SHARE, RATIO = 0.95, 2.0

ROUNDS = 2
NAMES = {'bare': 'bare loop', 'seglight': 'seglight', 'runner': 'Runner of mmcv'}

SECONDS = 8.0  #: after which a comparison gets no further round

#: The usual augmentations of mmseg's configs.
STANDARD: list[dict[str, Any]] = [
    {'type': 'KeepRatioResize', 'img_scale': [512, 512], 'ratio_range': [0.5, 2.0]},
    {'type': 'CatMaxRatioCrop', 'height': 512, 'width': 512, 'cat_max_ratio': 0.75},
    {'type': 'HorizontalFlip', 'p': 0.5},
    {'type': 'PhotoMetricDistortion'},
    {'type': 'PadTo', 'height': 512, 'width': 512},
]


class Steps(NamedTuple):
    """The steps of a measurement, and how many of the first do not count."""

    all: int
    warmup: int


class Measured(NamedTuple):
    """Images per second, and the peak memory in GiB."""

    rate: float
    memory: float | None


def speed(lab: Lab, model: str) -> Iterator[Row]:
    """Yield a row for each precision."""
    quieten()
    for mixed, bfloat16 in ((False, False),) if lab.tiny else ((True, False), (True, True), (False, False)):
        with float32(precise=False):
            yield _compared(lab, lab.task(_tested(lab, model), mixed=mixed, bfloat16=bfloat16))


def _compared(lab: Lab, task: Task) -> Row:
    """Return a row that compares the three."""
    steps = _steps(lab)
    sides: dict[str, Callable[[], Clock]] = {'bare': partial(bare_loop, task, steps.all)}
    sides['seglight'] = partial(_trained, lab, task, steps)
    if lab.device == 'cuda' or not task.mixed:  # mmcv's mixed precision needs a GPU
        sides['runner'] = partial(_run, lab, task, steps)
    rounds, failures = in_turn(lab, task, sides)
    return {
        'precision': task.precision if task.mixed else '32-true (TF32)',
        **row_of(rounds, RATIO if task.mixed else 0.0, judge=not lab.tiny),
        **({'failure': '; '.join(failures)} if failures else {}),
    }


def row_of(rounds: list[dict[str, Measured]], ratio: float, judge: bool) -> Row:
    """Return the rates, ratios and memory of the sides that were measured.

    Args:
        rounds: the results; every side in the first one counts.
        ratio: at least this many times mmcv's Runner is the goal.
        judge: whether to say if the goals are met.
    """
    row: Row = {'rounds': len(rounds)}
    for name in rounds[0]:
        row[f'{NAMES[name]}, images/s'] = statistics.median(each[name].rate for each in rounds)
    shares = {
        name: statistics.median(each['seglight'].rate / each[name].rate for each in rounds)
        for name in ('bare', 'runner')
        if name in rounds[0] and 'seglight' in rounds[0]
    }
    row |= {f'times the {NAMES[name]}': share for name, share in shares.items()}
    row |= {f'{NAMES[name]}, GiB': measured.memory for name, measured in rounds[-1].items()}
    if not judge:
        return row
    return {**row, GOAL: shares.get('bare', 0.0) >= SHARE and shares.get('runner', ratio) >= ratio}


def in_turn(lab: Lab, task: Task, sides: dict[str, Callable[[], Clock]]) -> tuple[list[dict[str, Measured]], list[str]]:
    """Measure all sides in turn; return the results of each round, and the sides that failed, with the reason."""
    start = time.perf_counter()
    rounds: list[dict[str, Measured]] = []
    failures: list[str] = []
    while not rounds or (len(rounds) < ROUNDS and time.perf_counter() - start < SECONDS and not lab.tiny):
        measured = {}
        for name in rounds[0] if rounds else sides:
            try:
                measured[name] = _measured(lab, task, sides[name], _steps(lab))
            except Exception as error:
                failures.append(f'{NAMES[name]}: {failure(error)}')
        rounds.append(measured)
    return [each for each in rounds if each.keys() == rounds[0].keys()], failures


def _measured(lab: Lab, task: Task, run: Callable[[], Clock], steps: Steps) -> Measured:
    lab.tidy()
    rate = run().rate(task.batch_size, steps.warmup)
    return Measured(rate, lab.peak())


def _tested(lab: Lab, model: str) -> str:
    """Return the name of the model to train: that of a small one in a trial."""
    return 'fast_scnn' if lab.tiny else model


def _steps(lab: Lab) -> Steps:
    """Return the steps of a measurement."""
    return Steps(3, 1) if lab.tiny else Steps(40, 16)


def _trained(lab: Lab, task: Task, steps: Steps) -> Clock:
    clock = Clock([], task.device)
    seglight_trainer(task, clock, lab.folder, [], max_steps=steps.all, limit_val_batches=0)()
    return clock


def _run(lab: Lab, task: Task, steps: Steps) -> Clock:
    clock = Clock([], task.device)
    with mmsegs_own():
        mmcv_runner(task, clock, lab.folder, [], max_iters=steps.all)()
    return clock


def files(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each number of loader processes: a fast model, the usual augmentations."""
    del argument
    quieten()
    side = {'height': lab.side, 'width': lab.side}
    transforms = [{**each, **{key: side[key] for key in side if key in each}} for each in STANDARD]
    # Long enough that what loader processes prepare before the first step does not count.
    steps = _steps(lab) if lab.tiny else Steps(120, 50)
    for workers in (0,) if lab.tiny else (8, min(16, cores())):
        options = {'mixed': not lab.tiny, 'bfloat16': True, 'workers': workers, 'transforms': transforms}
        task = lab.task('fast_scnn', **options, batch_size=2 * lab.batch_size)
        loaded = _loading_rate(replace(task, batch_size=lab.batch_size // 2))
        bare = _measured(lab, task, partial(bare_loop, task, steps.all), steps)
        own = _measured(lab, task, partial(_trained, lab, task, steps), steps)
        row: Row = {'loader processes': workers, 'loader alone, images/s': loaded, 'bare loop, images/s': bare.rate}
        yield {**row, 'seglight, images/s': own.rate, 'of the lower': own.rate / min(loaded, bare.rate)}


def _loading_rate(task: Task) -> float:
    """Return images per second of the loader in one epoch, from when all processes are busy."""
    data = seglight_data(task)
    data.setup('fit')
    times = [time.perf_counter() for _ in data.train_dataloader()]
    first = 2 * task.workers + 1
    return task.batch_size * (len(times) - 1 - first) / (times[-1] - times[first])


def compiled(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for training with torch.compile, beside training without."""
    del argument
    quieten()
    model = _tested(lab, 'segformer_b2')
    choices = (False,) if lab.tiny else (False, True)  # on a CPU, compiling takes a minute
    tasks = [lab.task(model, mixed=not lab.tiny, bfloat16=True, compile=on) for on in choices]
    rates: list[float] = []
    for task in tasks:
        start = time.perf_counter()
        lab.tidy()
        clock = _trained(lab, task, _steps(lab))
        rates.append(clock.rate(task.batch_size, _steps(lab).warmup))
        row: Row = {'model': model, 'precision': task.precision, 'compile': task.compile}
        row |= {'images/s': rates[-1], 'times without': rates[-1] / rates[0], 'GiB': lab.peak()}
        yield {**row, 'seconds until the second step': clock.times[1] - start}
