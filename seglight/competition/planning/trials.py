"""Measurements for a plan: a few steps of a real `fit`, and the loading of a few images."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from seglight.array_types import Size
from seglight.competition.planning.rules import Cost, line_through
from seglight.config.files import BASE
from seglight.data.dataset import SegmentationDataset
from seglight.errors import TrainingError, collected_warnings
from seglight.process_memory import peak_bytes, reset_peak

#: Images whose loading is timed.
LOADED = 16


@dataclass(frozen=True)
class Trial:
    """What a few steps took.

    Attributes:
        step: seconds of a training step.
        validation: seconds of a validation batch; 0 without validation.
        bytes: peak of memory: on a GPU as reserved, else of the process.
        free: bytes that were free before.
        processes: number of processes that trained.
        on_gpu: whether the memory is that of a GPU.
    """

    step: float
    validation: float
    bytes: int
    free: float
    processes: int
    on_gpu: bool


class Trials:
    """Runs `fit` for a few steps with some of its keys changed.

    Args:
        bases: absolute paths of the configs.
        command_line: runs a command line of the trainer.
    """

    def __init__(self, bases: Sequence[str], command_line: Callable[[Sequence[str]], object]) -> None:
        self.bases = bases
        self.command_line = command_line
        reset_peak()
        self._bytes_before = peak_bytes()

    def run(self, keys: Mapping[str, Any], steps: int, warmup: int) -> Trial:
        """Train and validate for some steps; nothing is written to `work_dirs`.

        Args:
            keys: nested keys to change.
            steps: training and validation batches.
            warmup: those that are not counted.

        Raises:
            UserError: if the run fails.
        """
        with tempfile.TemporaryDirectory(prefix='seglight_plan_') as folder:
            config, times = Path(folder, 'trial.yaml'), Path(folder, 'times.json')
            callback = {
                'class_path': 'seglight.callbacks.step_times.StepTimes',
                'init_args': {'file': str(times), 'warmup': warmup},
            }
            trainer = {**keys.get('trainer', {}), 'fast_dev_run': steps, 'enable_progress_bar': False}
            values = {BASE: list(self.bases), **keys, 'trainer': {**trainer, 'callbacks+': [callback]}}
            config.write_text(yaml.safe_dump(values))
            with contextlib.redirect_stdout(io.StringIO()), collected_warnings():
                self.command_line(['fit', '--config', str(config)])
            if not times.is_file():
                raise TrainingError('the trial run ended before its last step; try the same config with fit')
            found = json.loads(times.read_text())
        return Trial(
            mean(found['train']),
            mean(found['val'] or [0]),
            found['bytes'],
            found['free'],
            found['processes'],
            found['on_gpu'],
        )

    def cost(self, crop: Size, first: tuple[int, Trial], second: tuple[int, Trial]) -> Cost:
        """Return the cost of a step from trials with two batch sizes and the same crop."""
        pixels = [batch * crop[0] * crop[1] for batch, _ in (first, second)]
        times = [trial.step for _, trial in (first, second)]
        before = 0 if first[1].on_gpu else self._bytes_before
        used = [max(0, trial.bytes - before) for _, trial in (first, second)]
        return Cost(
            *line_through((pixels[0], times[0]), (pixels[1], times[1])),
            *line_through((pixels[0], used[0]), (pixels[1], used[1])),
        )


@dataclass(frozen=True)
class Loading:
    """How long an image takes in one process: to decode it with its mask, and to load it with all transforms."""

    decoding: float
    whole: float


def time_loading(dataset: SegmentationDataset) -> Loading:
    """Load a few images, spread over a data set."""
    indices = range(0, len(dataset), -(-len(dataset) // LOADED))
    start = time.perf_counter()
    for index in indices:
        dataset.decode(dataset.samples[index])
    decoded = time.perf_counter()
    for index in indices:
        dataset[index]
    end = time.perf_counter()
    return Loading((decoded - start) / len(indices), (end - decoded) / len(indices))
