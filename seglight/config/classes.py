"""Objects from the dicts of a config: `{type: Name, ...}` or `{class_path: package.Name, init_args: {...}}`."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from seglight.config.settings import nearest
from seglight.errors import ConfigError, UserError, one_line


def name_and_arguments(spec: Any, key: str, what: str = '') -> tuple[str, dict[str, Any]]:
    """Take either form of an object's dict apart; arguments may stand beside `class_path`, too.

    Args:
        spec: the dict.
        key: the config's key of the dict, named in errors.
        what: what the object is, with its article.

    Raises:
        ConfigError: if it has neither of the two forms, or both.
    """
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        message = f"must be a dict with 'type' or with 'class_path', got {spec!r}"
        raise ConfigError(key, f'{what} {message}' if what else message)
    rest = {name: value for name, value in spec.items() if name not in ('type', 'class_path', 'init_args')}
    if 'type' in spec:
        return str(spec['type']), rest | {name: spec[name] for name in ('init_args',) if name in spec}
    inner = spec.get('init_args') or {}
    if not isinstance(inner, dict):
        message = f'expected the arguments by their names, got {inner!r}'
        raise ConfigError(f'{key}.init_args', message)
    return str(spec['class_path']), {**rest, **inner}


def find_class(name: str, known: Mapping[str, Any], key: str) -> type | None:
    """Return the class of a name among the known ones, or of a path; None for a name that is unknown.

    Raises:
        ConfigError: if the path leads to nothing.
    """
    module, _, attribute = name.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), attribute) if module else known.get(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(key, f"unknown class '{name}': {error}") from error
    return found if inspect.isclass(found) else None


def import_class(path: str, base: type, key: str) -> type:
    """Import the class `package.module.Class`, which must be a `base`: a config may come from a checkpoint.

    Raises:
        ConfigError: if there is no such class, or it is of another kind.
    """
    found = find_class(path, {}, key)
    if found is None or not issubclass(found, base):
        raise ConfigError(key, f'{path} is not a subclass of {base.__name__}')
    return found


def construct(cls: type, arguments: dict[str, Any], name: str, key: str) -> Any:
    """Build an object; an argument that its class does not have, or of another type than it says, is an error.

    Raises:
        ConfigError: for an unknown argument, with the nearest valid one, or a wrong value.
    """
    valid = inspect.signature(cls).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in valid.values())
    for argument in arguments:
        # albumentations itself only warns of an argument it does not know, and goes on without it.
        if argument not in valid and not open_ended:
            message = f"{name} has no argument '{argument}'{nearest(argument, valid)}"
            raise ConfigError(f'{key}.{argument}', message)
    arguments = _typed(cls, arguments, key)
    try:
        return cls(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
        raise ConfigError(key, f'{name} cannot be built: {_reason(error)}') from error


def _typed(cls: type, arguments: dict[str, Any], key: str) -> dict[str, Any]:
    """Return arguments as the types that a class says for them, such as a tuple for a list.

    Arguments without a type are left as they are, and so is all that albumentations checks itself.

    Raises:
        ConfigError: for a value of another type.
    """
    if cls.__module__.partition('.')[0] == 'albumentations':
        return arguments
    types = type_hints(cls.__init__)  # type: ignore[misc]  # of the class itself, not of an instance
    parameters = inspect.signature(cls).parameters

    def default(name: str) -> Any:  # which needs no type: `limit: int = None` is usual
        return parameters[name].default if name in parameters else inspect.Parameter.empty

    return {
        name: _converted(value, types[name], f'{key}.{name}') if name in types and value is not default(name) else value
        for name, value in arguments.items()
    }


def type_hints(function: Any) -> dict[str, Any]:
    """Return the types that a function says for its arguments; none where they name what is not there."""
    try:
        return get_type_hints(function)
    except (NameError, AttributeError, TypeError):  # also names that are imported for type checkers alone
        return {}


def type_adapter(wanted: Any) -> TypeAdapter[Any] | None:
    """Return what checks values of a type; None for one that pydantic cannot take, or that has a config of its own."""
    try:
        return TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return None


def _converted(value: Any, wanted: Any, key: str) -> Any:
    """Return a value as a type: itself, or what JSON can say of the type, which has neither tuples nor numbers as keys.

    Raises:
        ConfigError: if it is of another type.
    """
    adapter = type_adapter(wanted)
    if adapter is None:
        return value
    with suppress(ValidationError):
        return adapter.validate_python(value, strict=True)
    try:
        return adapter.validate_json(json.dumps(value), strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        name = re.sub(r'\b(?:\w+\.)+(\w+)', r'\1', inspect.formatannotation(wanted)).replace('None', 'null')
        raise ConfigError(key, f'expected {name}, got {value!r}') from error


def _reason(error: Exception) -> str:
    """Return what is wrong with an argument, in one line; albumentations checks with pydantic."""
    cause = error.__cause__ or error  # albumentations repeats it as a ValueError
    if isinstance(cause, ValidationError):
        return '; '.join(f'{".".join(map(str, each["loc"]))}: {each["msg"]}' for each in cause.errors())
    return one_line(error)
