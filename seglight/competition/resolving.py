"""Resolve the config that `fit` would use, without training."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from seglight.config.arguments import PRINTING, read_arguments
from seglight.errors import UsageError
from seglight.masking import masked
from seglight.plain_text import load_yaml

#: Keys that only the command line sets, not a config.
RAY_KEYS = ('ray', 'ray_max_failures', 'ray_workers')

#: Keys that describe the command and may differ between two commands for the same run.
COMMAND_KEYS = ('auto_resume', 'ckpt_path', 'tags', 'trust_checkpoint', 'work_dir', *RAY_KEYS)


def resolved(words: Sequence[str], resolve: Callable[[Sequence[str]], object]) -> dict[str, Any]:
    """Return the config that `fit` would use, without secrets and without the keys of the command.

    Raises:
        UserError: for a wrong key or value, or a flag with which `fit` only prints.
    """
    if printing := next(
        (flag.typed for flag in read_arguments(words).flags if flag.name in (*PRINTING, '--help', '-h')), None
    ):
        raise UsageError(f'{printing} prints and trains nothing; remove it, or give it to seglight fit')
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        resolve(['fit', *words, '--print_config'])
    config: dict[str, Any] = masked(load_yaml(printed.getvalue(), 'the resolved config'))
    return {name: value for name, value in config.items() if name not in COMMAND_KEYS}


def config_flags(configs: Sequence[str]) -> list[str]:
    """Return the arguments that name configs."""
    return [word for name in configs for word in ('--config', name)]
