"""jsonargparse's messages, in one sentence that says where the key was written."""

from __future__ import annotations

import inspect
import re
import sys

from seglight.config.arguments import Arguments, join_flag
from seglight.config.settings import Settings, nearest


def explain(message: str, settings: Settings, arguments: Arguments) -> str:
    """Return the essence of a message of jsonargparse behind the flag, or the file and line, that it is about."""
    text = ' '.join(message.split())
    missing = re.search(r'the following arguments are required: (.*)', text)
    if missing:
        keys = missing[1].replace(f'{arguments.subcommand}.', '')
        return f'{arguments.subcommand} needs {keys}; name a config that says them, such as --config demo.yaml'
    named = re.search(r'[Kk]ey "([\w.]+)"', text)
    if not named:
        return text
    key = named[1].removeprefix(f'{arguments.subcommand}.')
    return f'{_written(key, settings, arguments)}: {key}: {_essence(text)}'


def _written(key: str, settings: Settings, arguments: Arguments) -> str:
    """Return the last flag that is about a key, else the file and line where it stands."""
    flags = arguments.flags
    for index in range(len(flags) - 1, -1, -1):
        name, value = flags[index]
        if name.removeprefix('--').removesuffix('+').startswith(key):
            following = flags[index + 1][1] if index + 1 < len(flags) and not flags[index + 1][0] else None
            return join_flag(name, value) if value is not None or following is None else f'{name} {following}'
    return str(settings.origin(tuple(key.split('.'))) or 'the config')


def _essence(text: str) -> str:
    """Return the part of a message that says what is wrong, with the nearest valid name."""
    refused = re.search(r"Option '(\w+)' is not accepted", text)
    if refused:
        cls = re.search(r"class_path[ =]'([\w.]+)'", text)
        return (
            f"{cls[1] if cls else 'it'} has no argument '{refused[1]}'{_nearest_argument(refused[1], cls and cls[1])}"
        )
    absent = re.search(r"module '([\w.]+)' has no attribute '(\w+)'", text)
    if absent:
        return f"there is no '{absent[2]}' in {absent[1]}{nearest(absent[2], dir(sys.modules.get(absent[1])))}"
    path = re.search(r'Expected a dot import path string: (\S+)', text)
    if path:
        return f"'{path[1]}' is no class path, such as package.module.Class"
    given = re.search(r'(?:Got value|Given value): (.*)$', text)
    choices = re.findall(r'Literal\[([^]]*)\]', text.split('Errors:')[0])
    if choices and given:
        return f"expected one of {', '.join(choices)}, got '{given[1]}'"
    kind = re.search(r"Expected a <class '(\w+)'>", text)
    if kind and given and 'Union' not in text:
        return f"expected {kind[1]}, got '{given[1]}'"
    return re.sub(r'^.*?[Kk]ey "[\w.]+": ?', '', text)


def _nearest_argument(name: str, class_path: str | None) -> str:
    """Return the argument of a class that is most like `name`."""
    module, _, attribute = (class_path or '').rpartition('.')
    cls = getattr(sys.modules.get(module), attribute, None)
    return nearest(name, inspect.signature(cls).parameters) if cls else ''
