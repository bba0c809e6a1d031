"""The sections of the check, each a module with a function that yields its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from gpu.lab import Lab
from gpu.results import Row
from gpu.sections import environment, inference, masks, ops, resume, speed, steps, waits
from gpu.worker import Run

FUNCTIONS: dict[str, Callable[[Lab, str], Iterator[Row]]] = {
    'environment': environment.environment,
    'ops': ops.ops,
    'steps': steps.steps,
    'masks': masks.masks,
    'waits': waits.waits,
    'resume': resume.resume,
    'speed': speed.speed,
    'files': speed.files,
    'compile': speed.compiled,
    'writing': inference.writing,
    'tta': inference.tta,
    'sliding': inference.sliding,
}


def sections(lab: Lab) -> dict[str, Run]:
    """Return the functions of all sections by name."""
    return {name: partial(function, lab) for name, function in FUNCTIONS.items()}
