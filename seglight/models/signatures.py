"""The arguments of mmcv's and mmseg's classes: their names, and their types where declared."""

from __future__ import annotations

import inspect
from typing import Any

from mmcv.runner import BaseModule
from pydantic import ValidationError
from torch import nn

from seglight.config.classes import type_adapter, type_hints
from seglight.errors import ConfigError

#: Attribute of a class whose further arguments are for another library.
OPEN_ARGUMENTS = 'takes_any_argument'

#: Plain words for pydantic's error types.
_PLAIN = {'bool_type': 'true or false', 'int_type': 'a whole number', 'float_type': 'a number', 'tuple_type': 'a list'}


def init_arguments(cls: type) -> tuple[frozenset[str], bool]:
    """Return the arguments of a class, and whether these are all that it accepts.

    mmseg's classes pass `**kwargs` on to their bases, so the bases are searched in turn, up to the
    first without `**kwargs`. A class that `takes_any_argument` passes them on to another library instead.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        if base is BaseModule or base is nn.Module:
            break  # these do not describe a model, so other arguments are consumed elsewhere
        if '__init__' in base.__dict__:
            parameters = inspect.signature(base.__dict__['__init__']).parameters
            names |= {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
            if base.__dict__.get(OPEN_ARGUMENTS):
                break
            if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
                return frozenset(names - {'self'}), True
    return frozenset(names - {'self'}), False


def check_types(cls: type, arguments: dict[str, Any], key: str) -> None:
    """Refuse an argument of another type than the class declares; the class itself checks lists.

    Raises:
        ConfigError: names the argument.
    """
    for base in cls.__mro__:
        hints = type_hints(base.__dict__.get('__init__', object))
        for name in arguments.keys() & hints.keys():
            adapter = type_adapter(hints[name])
            if adapter is None or arguments[name] is None or isinstance(arguments[name], (list, tuple, dict)):
                continue
            try:
                adapter.validate_python(arguments[name], strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                expected = _PLAIN.get(first['type']) or first['msg'].removeprefix('Input should be ')
                message = f'must be {expected}, got {arguments[name]!r}'
                raise ConfigError(f'{key}.{name}', message) from error
