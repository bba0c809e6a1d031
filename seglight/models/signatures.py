"""What the classes of mmcv and mmseg take: the names of their arguments, and the types where they declare them."""

from __future__ import annotations

import inspect
from typing import Any

from mmcv.runner import BaseModule
from pydantic import ValidationError
from torch import nn

from seglight.config.classes import type_adapter, type_hints
from seglight.errors import ConfigError

#: What pydantic calls a type.
_PLAIN = {'bool_type': 'true or false', 'int_type': 'a whole number', 'float_type': 'a number', 'tuple_type': 'a list'}


def init_arguments(cls: type) -> tuple[frozenset[str], bool]:
    """Return the arguments of a class, and whether these are all that it takes.

    mmseg's classes pass `**kwargs` on to their bases, so the bases are asked in turn, down to the
    first that takes no more.
    """
    names: set[str] = set()
    for base in cls.__mro__:
        if base is BaseModule or base is nn.Module:
            break  # none of these takes part in describing a model, so the rest goes elsewhere
        if '__init__' in base.__dict__:
            parameters = inspect.signature(base.__dict__['__init__']).parameters
            names |= {name for name, each in parameters.items() if each.kind is not each.VAR_KEYWORD}
            if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
                return frozenset(names - {'self'}), True
    return frozenset(names - {'self'}), False


def check_types(cls: type, arguments: dict[str, Any], key: str) -> None:
    """Refuse an argument of another type than a class declares; lists are left to the class itself.

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
                wanted = _PLAIN.get(first['type']) or first['msg'].removeprefix('Input should be ')
                message = f'must be {wanted}, got {arguments[name]!r}'
                raise ConfigError(f'{key}.{name}', message) from error
