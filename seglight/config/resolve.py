"""Resolve configs and flags to one dict, and check its keys before jsonargparse checks its types."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

import yaml

from seglight.config.arguments import Arguments, Flag
from seglight.config.files import find_config, load_config, load_mmseg
from seglight.config.mmseg.accumulation import count_steps
from seglight.config.mmseg.options import expand_options, take_file_options
from seglight.config.mmseg.whole import SUFFIX
from seglight.config.mmseg.zoo import ZOO, ZOO_SCHEDULE, expand, forget_names
from seglight.config.overrides import apply_overrides, check_flags, check_keys, check_nulls, take_overrides
from seglight.config.parser import argument_types, is_plain, keys_without_null
from seglight.config.settings import Settings
from seglight.own_modules import find_named

#: The first parts of the flags whose values may name a class.
WITH_CLASSES = ('--model', '--data', '--trainer')


def resolve(
    arguments: Arguments,
    parser: ArgumentParser,
    base: Settings,
    ignored: Callable[[str], bool],
    prepare: Callable[[Settings], Settings],
) -> Settings:
    """Merge a base, the configs and the flags, and pass the result to jsonargparse as its only config.

    Args:
        arguments: modified in place: the result replaces configs and nested overrides.
        parser: the parser for the result.
        base: the lowest layer, for example the config of a checkpoint.
        ignored: returns whether to drop a top-level key that only other commands accept.
        prepare: changes the merged configs before the flags are applied.

    Raises:
        UsageError: names the file and line, or the flag, of the fault.
    """
    types = argument_types(parser)
    expand_options(arguments, types)
    settings = base
    find_named([flag.value for flag in arguments.flags if flag.name.partition('.')[0] in WITH_CLASSES])
    for path in map(find_config, arguments.configs):
        is_mmseg = path.suffix == SUFFIX
        config = load_mmseg(path, take_file_options(arguments, types)) if is_mmseg else load_config(path)
        find_named(config.values)
        settings = settings.merged_with(config)
    settings = prepare(settings)
    zoo = take_overrides(arguments, frozenset({ZOO, ZOO_SCHEDULE}))
    settings = settings.merged_with(expand(apply_overrides(Settings(), zoo), settings))
    settings = settings.without({name for name in settings.values if ignored(name)})
    count_steps(arguments, settings)
    overrides = take_overrides(arguments, frozenset(key for key, hint in types.items() if is_plain(hint)))
    settings = apply_overrides(settings, overrides)
    forget_names(settings)
    settings = settings.without_plus().with_home()
    check_flags(
        arguments, frozenset(name for action in parser._actions for name in action.option_strings), frozenset(types)
    )
    check_keys(settings, frozenset(types))
    check_nulls(settings, keys_without_null(parser))
    arguments.flags.insert(1, Flag('--config', yaml.safe_dump(settings.values, sort_keys=False), '--config'))
    return settings
