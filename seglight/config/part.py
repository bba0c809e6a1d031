"""One part of a config, resolved and checked as `fit` would, without building the others."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from seglight.config.arguments import Arguments, Flag, read_arguments
from seglight.config.checkpoint import find_checkpoint, stored_settings
from seglight.config.explain import explain, written
from seglight.config.files import find_config, load_config
from seglight.config.keys import argument_types, is_plain
from seglight.config.overrides import apply_overrides, check_flags, check_keys, take_overrides
from seglight.config.settings import Settings
from seglight.errors import ConfigError
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
    parser.add_argument('--debug', action='store_true')
    parser.add_argument('--seed_everything', type=bool | int, default=42)
    parser.add_class_arguments(cls, part)
    types = argument_types(parser)
    settings = prepare(_settings(arguments, command))
    settings = settings.without(set(settings.values) - {part, 'seed_everything'})
    overrides = take_overrides(arguments, frozenset(key for key, hint in types.items() if is_plain(hint)))
    settings = apply_overrides(settings, overrides)
    check_flags(
        arguments, frozenset(name for action in parser._actions for name in action.option_strings), frozenset(types)
    )
    check_keys(settings, frozenset(types))
    arguments.flags[0] = Flag('--config', yaml.safe_dump(settings.values, sort_keys=False), '--config')
    try:
        config = parser.parse_args(arguments.argv())
    except ArgumentError as error:
        raise ConfigError(explain(str(error), settings, arguments)) from error
    if not isinstance(config.seed_everything, bool):
        config[part].seed = config.seed_everything
    try:
        return parser.instantiate_classes(config)[part]
    except ConfigError as error:
        origin = f'{written(".".join(error.key), settings, arguments)}: ' if error.key else ''
        raise ConfigError(f'{origin}{error}') from error


def _settings(arguments: Arguments, command: str) -> Settings:
    """Return what the checkpoint and the configs say together."""
    checkpoint = arguments.value('--ckpt_path')
    if checkpoint is None and not arguments.configs:
        raise ConfigError(f'{command} needs a config, such as --config demo.yaml, or a checkpoint, as --ckpt')
    settings = Settings() if checkpoint is None else stored_settings(find_checkpoint(checkpoint, WORK_DIRS))
    for name in arguments.configs:
        settings = settings.merged_with(load_config(find_config(name)))
    return settings
