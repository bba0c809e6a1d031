"""One part of a config, resolved and checked as `fit` would, without building the others."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable, Sequence
from typing import Any

from jsonargparse import ArgumentParser

from seglight.config.arguments import read_arguments
from seglight.config.checkpoint import find_checkpoint, stored_settings
from seglight.config.parser import explain, written
from seglight.config.resolve import resolve
from seglight.config.settings import Settings
from seglight.errors import ConfigError, UsageError
from seglight.files import WORK_DIRS


def build_part(
    cls: type, part: str, command: str, words: Sequence[str], prepare: Callable[[Settings], Settings] = lambda s: s
) -> Any:
    """Build the object of one group of a config, such as the data module of `data`.

    Args:
        cls: its class.
        part: name of the group.
        command: the command's name, for errors.
        words: what was typed: `--config`, `--ckpt`, and flags that override keys of the group or the seed.
        prepare: what is done to the settings before they are checked.

    Raises:
        ConfigError: if nothing was given to build it from, or a key or value is wrong.
    """
    arguments = read_arguments([command, *words])
    parser = ArgumentParser(exit_on_error=False, prog=f'seglight {command}')
    parser.add_argument('--config', action='config')
    parser.add_argument('--ckpt_path', type=str | None)
    parser.add_argument('--seed_everything', type=bool | int, default=42)
    parser.add_class_arguments(cls, part)
    checkpoint = arguments.value('--ckpt_path')
    if checkpoint is None and not arguments.configs:
        raise UsageError(f'{command} needs a config, such as --config demo.yaml, or a checkpoint, as --ckpt')
    base = Settings() if checkpoint is None else stored_settings(find_checkpoint(checkpoint, WORK_DIRS))
    settings = resolve(arguments, parser, base, lambda name: name not in (part, 'seed_everything'), prepare)
    try:
        config = parser.parse_args(arguments.argv()[1:])  # without the command
    except ArgumentError as error:
        raise UsageError(explain(str(error), settings, arguments)) from error
    if not isinstance(config.seed_everything, bool):
        config[part].seed = config.seed_everything
    try:
        return parser.instantiate_classes(config)[part]
    except ConfigError as error:
        origin = f'{written(error.key, settings, arguments)}: ' if error.key else ''
        raise UsageError(f'{origin}{error}') from error
