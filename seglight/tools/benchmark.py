"""Measure speed and memory of checkpoints and exported files side by side."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from seglight.batch import Batch, Item, collate
from seglight.checkpoints.checkpoint import Checkpoint
from seglight.console import tabulated
from seglight.errors import UsageError, one_line
from seglight.machine_errors import cure_of_machine
from seglight.models.segmentor import Segmentor
from seglight.process_memory import peak_bytes


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        size: height and width of the images.
        batch_size: images that are predicted together.
        rounds: measured predictions of each candidate.
        warmup: predictions before them.
        threads: threads on the CPU; None for torch's number.
        device: for example `cuda:1`; None for a GPU if there is one.
        trust_checkpoint: let the files name classes of any package, which runs code.
    """

    size: tuple[int, int] = (512, 512)
    batch_size: int = 1
    rounds: int = 20
    warmup: int = 3
    threads: int | None = None
    device: str | None = None
    trust_checkpoint: bool = False


@dataclass
class Measured:
    """The figures of one candidate.

    Attributes:
        name: its path.
        seconds: of each batch.
        parameters: their number; None for an exported file.
        flops: of one image, two for each multiplication with an addition; None for an exported file.
        memory: bytes: on a GPU the peak of torch's tensors, else the peak of the process.
    """

    name: str
    seconds: list[float] = field(default_factory=list)
    parameters: int | None = None
    flops: int | None = None
    memory: int = 0

    def figures(self, batch_size: int) -> dict[str, str]:
        """Return the columns of the table."""
        middle = statistics.median(self.seconds)
        late = sorted(self.seconds)[math.ceil(0.95 * len(self.seconds)) - 1]
        return {
            'file': self.name,
            'median ms': f'{1000 * middle:.1f}',
            'p95 ms': f'{1000 * late:.1f}',
            'images/s': f'{batch_size / middle:.2f}',
            'memory MB': f'{self.memory / 1e6:.0f}',
            'GFLOPs': '-' if self.flops is None else f'{self.flops / 1e9:.3g}',
            'M parameters': '-' if self.parameters is None else f'{self.parameters / 1e6:.2f}',
        }


def measure(names: Sequence[str], plan: Plan) -> list[Measured]:
    """Predict noise with each candidate in turn, each in a process of its own, and return their figures.

    In a round every candidate predicts once, so that all of them meet the same machine.

    Args:
        names: checkpoints and exported files.
        plan: what is measured.

    Raises:
        UsageError: for a number below 1, or a device that this machine lacks.
        CheckpointError: if a file cannot be used.
    """
    numbers = [*plan.size, plan.batch_size, plan.rounds, plan.threads or 1]
    if min(numbers) < 1 or plan.warmup < 0:
        raise UsageError('benchmark: sizes, batch size, rounds and threads must be at least 1')
    with ExitStack() as stack:
        pools = []
        for name in names:
            Checkpoint.find(name, plan.trust_checkpoint)  # a missing file is an error before anything starts
            pools.append(stack.enter_context(ProcessPoolExecutor(1, get_context('spawn'))))
        found = [_ask(pool, _prepare, name, plan) for name, pool in zip(names, pools, strict=True)]
        for _ in range(plan.rounds):
            for each, pool in zip(found, pools, strict=True):
                each.seconds.append(_ask(pool, _seconds))
        for each, pool in zip(found, pools, strict=True):
            each.memory = _ask(pool, _memory)
    return found


def table(found: Sequence[Measured], batch_size: int) -> list[str]:
    """Return the lines of a table with a row for each candidate."""
    rows = [each.figures(batch_size) for each in found]
    titles = list(rows[0])
    return tabulated([titles, *(list(row.values()) for row in rows)], right=range(1, len(titles)))


def _ask(pool: ProcessPoolExecutor, call: Any, *arguments: Any) -> Any:
    """Return what a function returns in a process.

    Raises:
        UsageError: if the process ended, for example because the machine has too little memory.
    """
    try:
        return pool.submit(call, *arguments).result()
    except BrokenProcessPool as error:
        raise UsageError(
            'benchmark: a process ended, probably because memory is short; use a smaller --size'
        ) from error


#: In a process: the candidate, and a batch of noise on its device.
_candidate: list[tuple[Segmentor, Batch]] = []


def _prepare(name: str, plan: Plan) -> Measured:
    """Load a candidate, predict once to count operations, and warm up."""
    if plan.threads:
        torch.set_num_threads(plan.threads)
    checkpoint = Checkpoint.find(name, plan.trust_checkpoint)
    device = _device(plan)
    module = checkpoint.module().to(device)
    batch = _noise(plan)
    batch['image'] = batch['image'].to(module.device)
    result = Measured(name)
    _candidate[:] = [(module, batch)]
    if not checkpoint.is_exported:
        result.parameters = sum(parameter.numel() for parameter in module.parameters())
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            module.predict(batch)
        result.flops = counter.get_total_flops() // plan.batch_size
    for _ in range(plan.warmup):
        _seconds()
    return result


def _device(plan: Plan) -> str:
    """Return the device of the plan.

    Raises:
        UsageError: if this machine cannot compute on it.
    """
    name = plan.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        torch.zeros(1, device=name).cpu()
    except Exception as error:  # of many classes: torch asks a library for each kind of device
        if cure_of_machine(error):
            raise
        raise UsageError(
            f"benchmark: --device must be one of this machine, got '{name}': {one_line(error)[:200]}"
        ) from error
    return name


def _noise(plan: Plan) -> Batch:
    """Return noise of the size and number of the plan."""
    images = torch.randint(0, 256, (plan.batch_size, 3, *plan.size), dtype=torch.uint8)
    items: list[Item] = [
        {
            'image': image,
            'mask': None,
            'meta': {'path': '', 'name': '', 'size': plan.size, 'original_size': plan.size},
        }
        for image in images
    ]
    return collate(items)


def _seconds() -> float:
    """Return the seconds that the prediction of the batch takes, from images to masks on the host."""
    ((module, batch),) = _candidate
    start = time.perf_counter()
    with torch.inference_mode():
        for prediction in module.predict(batch):
            prediction.mask.cpu()
    return time.perf_counter() - start


def _memory() -> int:
    """Return the peak of memory in bytes; without a GPU only Linux tells it, elsewhere it is 0."""
    ((module, _),) = _candidate
    if module.device.type == 'cuda':
        return torch.cuda.max_memory_allocated(module.device)
    return peak_bytes()
