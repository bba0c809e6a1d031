"""Derive a config from the data: the command `seglight plan`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from seglight.competition.planning.memory_format import KEY as MEMORY_FORMAT
from seglight.competition.planning.plan_file import base_name, text_of
from seglight.competition.planning.planner import (
    BATCH,
    LENGTH,
    TRANSFORMS,
    VAL_TRANSFORMS,
    VALIDATION,
    WEIGHTS,
    Planner,
)
from seglight.competition.planning.trials import Trials
from seglight.competition.resolving import config_flags, resolved
from seglight.config.arguments import Arguments
from seglight.config.files import SHIPPED, find_config, load_config
from seglight.config.parser import with_origins
from seglight.config.settings import Origin, Settings
from seglight.console import labelled
from seglight.counting import duration
from seglight.errors import UsageError, say
from seglight.files import as_bytes, write_new, writing_to

#: All keys that a plan may write.
PLANNED = (
    WEIGHTS, TRANSFORMS, VAL_TRANSFORMS, BATCH, MEMORY_FORMAT, 'data.class_balance', 'data.num_workers', 'data.cache',
    *LENGTH, *VALIDATION, 'checkpoint.interval',
)  # fmt: skip


def make_plan(
    configs: Sequence[str], hours: float, output: Path, command_line: Callable[[Sequence[str]], object]
) -> Path:
    """Derive settings from the data of a config, and write those that the user has not set.

    Args:
        configs: the configs, each overriding the ones before.
        hours: time for the run.
        output: the file to write, which must not exist.
        command_line: runs a command line of the trainer.

    Returns:
        The file.

    Raises:
        UserError: for wrong arguments, before anything is measured; if the data cannot be used; or if a step fails.
    """
    _check(configs, hours, output)
    paths = [find_config(config) for config in configs]
    settings = Settings()
    for path in paths:
        settings = settings.merged_with(load_config(path))
    config = resolved(config_flags(configs), command_line)
    trials = Trials([str(path.resolve()) for path in paths], command_line)
    own = own_keys(settings)
    planner = Planner(config, frozenset(own), 3600 * hours, trials)
    with with_origins(settings, Arguments()):
        needed = planner.plan()
    if not planner.choices:
        raise UsageError(f'{configs[-1]} sets every key that plan derives; nothing is left to plan')
    title = f'Derived by seglight plan for {hours:g} hours. Each comment has the measurement that led to its key.'
    text = text_of([base_name(path, output.parent) for path in paths], planner.choices, title)
    with writing_to(output, 'choose another --output'):
        write_new({output: as_bytes(text)})
    say(text, end='')
    for key in (key for key in PLANNED if key in own):
        say(labelled('Kept', f'{key}, which {own[key]} sets'))
    say(labelled('Takes', f'about {duration(needed)} on this machine'))
    return output


def _check(configs: Sequence[str], hours: float, output: Path) -> None:
    if not configs:
        raise UsageError('plan needs a config that names the data and the model, for example --config pspnet.yaml')
    if not 0 < hours < math.inf:
        raise UsageError(f'--hours must be above 0, got {hours:g}')
    if output.exists():
        raise UsageError(f'{output} exists and is kept as it is; choose another --output, or remove it first')
    if output.suffix not in ('.yaml', '.yml'):
        raise UsageError(f'--output must be a .yaml file, got {output}')


def own_keys(settings: Settings) -> dict[str, Origin]:
    """Return where each dotted key was written that is not, or not as a whole, from a shipped config.

    A list that a file extends, or whose items it edits, is its own, too: `data.train_transforms` also stands for
    `data.train_transforms+` and `data.train_transforms.0.p`.
    """
    own: dict[str, Origin] = {}
    for key, origin in settings.origins.items():
        if not Path(origin.source).resolve().is_relative_to(SHIPPED.resolve()):
            names = [name.removesuffix('+') for name in key]
            own['.'.join(names)] = origin
            for end in range(1, len(names)):
                own.setdefault('.'.join(names[:end]), origin)
    return own
