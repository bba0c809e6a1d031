"""The config that `fit` would use, as a dict for Python code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seglight.cli.auto_precision import chosen_precision
from seglight.cli.command_line import CommandLine
from seglight.competition.resolving import config_flags, resolved
from seglight.config.class_names import OF_DATA
from seglight.errors import UsageError


def read_config(configs: Sequence[str], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return the whole config of `fit`; `model` has the classes of `data`.

    Args:
        configs: the names of the files, each overriding the ones before.
        overrides: flags of `fit`.

    Raises:
        UserError: for a missing file, or a wrong key or value.
    """
    if isinstance(overrides, str):
        raise UsageError(f'overrides must be a list of flags, got the text {overrides!r}; write [{overrides!r}]')
    if not configs:
        raise UsageError("read_config needs a config, for example read_config('demo.yaml')")
    config = resolved([*config_flags(configs), *overrides], CommandLine)
    trainer = config['trainer']
    trainer['precision'] = chosen_precision(trainer['precision'], trainer['accelerator'])
    config['model'] |= {name: config['data'][name] for name in OF_DATA}
    return config
