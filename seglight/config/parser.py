"""The only access to jsonargparse's internals: a parser's keys, their types, and its error messages."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jsonargparse

from seglight.config.arguments import Arguments
from seglight.config.settings import Key, Settings, groups
from seglight.errors import ConfigError, UsageError, one_line
from seglight.similar import nearest

#: The text before a wrong value in jsonargparse's messages.
_GOT = re.compile('Given value: |Got value: ')


def argument_types(parser: ArgumentParser) -> dict[Key, Any]:
    """Return the type hint of every key of a parser, None if it has none; without groups."""
    hints = {
        tuple(action.dest.split('.')): getattr(action, '_typehint', None)
        for action in parser._actions
        if not action.dest.endswith('.help')
    }
    inner = groups(hints)
    return {key: hint for key, hint in hints.items() if key not in inner}


def prefer_int_to_float(parser: ArgumentParser) -> None:
    """Let `--trainer.limit_train_batches=1` mean one batch, not 1.0, which is all of them.

    Lightning declares `Optional[Union[int, float]]`, but Python's typing caches one object for all
    unions of the same members in any order, and jsonargparse uses the first member that matches. So
    the meaning depends on which library was imported first.
    """
    for action in parser._actions:
        members = typing.get_args(getattr(action, '_typehint', None))
        if len(members) == 3 and all(kind in members for kind in (int, float, type(None))):
            action._typehint = typing.Union[int, float, None]  # type: ignore[attr-defined]  # noqa: UP007


def allow(parser: ArgumentParser, key: str, value: str) -> None:
    """Let a key take one more value, which jsonargparse would refuse by its type."""
    action = next(action for action in parser._actions if action.dest == key)
    action._typehint = typing.Union[action._typehint, typing.Literal[value]]  # type: ignore[attr-defined]  # noqa: UP007


def keys_without_null(parser: ArgumentParser) -> frozenset[Key]:
    """Return the keys for which null is wrong, by their type and their default; jsonargparse accepts it in configs."""
    return frozenset(
        tuple(action.dest.split('.'))
        for action in parser._actions
        if action.default is not None and not _takes_null(getattr(action, '_typehint', None))
    )


def _takes_null(hint: Any) -> bool:
    """Return whether a type hint allows None; without a hint, anything is allowed."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(_takes_null(part) for part in typing.get_args(hint))
    return hint in (None, types.NoneType, Any)


def is_plain(hint: Any) -> bool:
    """Return whether a type hint is a dict or a list of dicts, or optionally one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(is_plain(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return any(is_plain(part) for part in typing.get_args(hint))
    return hint is dict or typing.get_origin(hint) is dict


def part_parser(cls: type, part: str, command: str) -> jsonargparse.ArgumentParser:
    """Return a parser for one group of a config and for `--config`, `--ckpt_path` and `--seed_everything`.

    Args:
        cls: the class that the group configures.
        part: the name of the group.
        command: the command's name.
    """
    parser = jsonargparse.ArgumentParser(exit_on_error=False, prog=f'seglight {command}')
    parser.add_argument('--config', action='config')
    parser.add_argument('--ckpt_path', type=str | None)
    parser.add_argument('--seed_everything', type=bool | int, default=42)
    parser.add_class_arguments(cls, part)
    return parser


@contextmanager
def with_origins(settings: Settings, arguments: Arguments) -> Iterator[None]:
    """Prefix each error with the flag, or the file and line, where its key was written.

    Raises:
        UsageError: instead of jsonargparse's errors and of errors with a key.
    """
    try:
        yield
    except ArgumentError as error:
        raise UsageError(explain(str(error), settings, arguments)) from error
    except ConfigError as error:
        origin = f'{written(error.key, settings, arguments)}: ' if error.key else ''
        raise UsageError(f'{origin}{error}') from error


def explain(message: str, settings: Settings, arguments: Arguments) -> str:
    """Return the essence of jsonargparse's message after the flag, or the file and line, that it is about."""
    text = one_line(message)
    named = re.search(r'[Kk]ey "([\w.]+)"', text)
    missing = re.search(r'the following arguments are required: (.*)', text)
    if missing and not named:
        keys = missing[1].replace(f'{arguments.subcommand}.', '')
        return f'{arguments.subcommand} needs {keys}; pass a config that sets them, such as --config demo.yaml'
    if not named:
        return text
    key = named[1].removeprefix(f'{arguments.subcommand}.')
    return f'{written(key, settings, arguments)}: {key}: {_essence(message)}'


def written(key: str, settings: Settings, arguments: Arguments) -> str:
    """Return the last flag that sets a dotted key, else the file and line where it was written."""
    for index in range(len(arguments.flags) - 1, -1, -1):
        name = arguments.flags[index].name
        flag = name.removeprefix('--').removesuffix('+')
        if flag == key or flag.startswith(f'{key}.') or (name and key.startswith(f'{flag}.')):
            return arguments.typed(index)
    below = [origin for place, origin in settings.origins.items() if '.'.join(place).startswith(f'{key}.')]
    changed = [origin for origin in below if origin.line is None and origin.source.startswith('--')]
    if changed:  # the last flag that changed a value inside
        return str(changed[-1])
    return str(settings.origin(tuple(key.split('.'))) or 'the config')


def _essence(message: str) -> str:
    """Return the essential part of a message, with the nearest valid name."""
    text = one_line(message)
    cls = next(iter(re.findall(r"class_path[ =]'([\w.]+)'", text)), None)
    lines = message.splitlines()
    if _inner_keys(lines)[1] and (mismatch := _mismatch(lines)):
        return mismatch
    module = re.search(r"No module named '([\w.]+)'", text)
    if module:
        return f"unknown module '{module[1]}', neither installed nor in the working folder"
    unknown = re.search(r"Option '(\w+)' is not accepted", text)
    if unknown:
        return f"{cls or 'it'} has no argument '{unknown[1]}'{_nearest_argument(unknown[1], cls)}"
    missing = re.search(r'the following arguments are required: ([\w, .]+?)(?: - |$)', text)
    if missing:
        return f'{cls or "it"} needs {missing[1]}'
    attribute = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", text)
    if attribute:
        hint = nearest(attribute[2], dir(sys.modules.get(attribute[1])))
        return f"{attribute[1]} has no '{attribute[2]}'{hint}"
    path = re.search(r'Expected a dot import path string: (\S+)', text)
    if path:
        return f"'{path[1]}' is not a class path like package.module.Class"
    return _mismatch(lines) or re.sub(r'^.*?[Kk]ey "[\w.]+": ?', '', text)


def _mismatch(lines: list[str]) -> str | None:
    """Return the expected type and the given value, for the innermost value in a message."""
    start, inner = _inner_keys(lines)
    end = next((index for index, line in enumerate(lines) if index >= start and _GOT.search(line)), None)
    if end is None:
        return None
    value = _GOT.split(lines[end])[1]
    value = re.sub(r"^NestedArg\(key='\w+', val='(.*)'\)$", r'\1', value)
    unions = [line for line in lines[start:end] if 'Subtypes: ' in line]
    wanted = unions[-1].split('Subtypes: ')[1][1:-1] if unions else lines[end].split('Got value')[0]
    expected = _readable(wanted)
    return f"{''.join(f'{key}: ' for key in inner)}expected {expected}, got '{value}'{_quotes(expected, value)}"


def _quotes(expected: str, value: str) -> str:
    """Return what to do about a word or a number that YAML does not take for text, empty where that is no matter."""
    if expected != 'str':
        return ''
    if value in ('True', 'False'):
        return '; yes, no, on and off are truth values in YAML: put the word in quotes'
    return '; put it in quotes' if re.fullmatch(r'[-+.\deE]+', value) else ''


def _inner_keys(lines: list[str]) -> tuple[int, list[str]]:
    """Return the line of the last key before the first wrong value, and the keys that lead to it."""
    start, keys = 0, []
    for index, line in enumerate(lines):
        if found := re.search(r'Parser key "([\w.]+)"', line):
            start = index
            keys.append(found[1])
        elif _GOT.search(line):
            break
    return start, keys[1:]


def _readable(types: str) -> str:
    """Return a list of Python types in a readable form."""
    short = re.sub(r"<class '([\w.]+)'>", r'\1', types.replace('Expected a ', ''))
    short = re.sub(r'\b(?:\w+\.)+(\w+)', r'\1', short).strip(' .')
    return re.sub(r'Literal\[([^]]*)\]', r'one of \1', short).replace('NoneType', 'null')


def _nearest_argument(name: str, class_path: str | None) -> str:
    """Return a hint with the argument of a class most similar to `name`."""
    module, _, attribute = (class_path or '').rpartition('.')
    cls = getattr(sys.modules.get(module), attribute, None)
    return nearest(name, inspect.signature(cls).parameters) if cls else ''
