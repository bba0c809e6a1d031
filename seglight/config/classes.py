"""Build objects from dicts in a config: `{type: Name, ...}` or `{class_path: package.Name, init_args: {...}}`."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from seglight.errors import ConfigError, UserError, one_line
from seglight.similar import nearest


def name_and_arguments(spec: Any, key: str, kind: str = '') -> tuple[str, dict[str, Any]]:
    """Return the class name and the arguments of either form; arguments may also be next to `class_path`.

    Args:
        spec: the dict.
        key: the config key of the dict, for errors.
        kind: the kind of object with its article, for errors.

    Raises:
        ConfigError: unless it has exactly one of the two forms.
    """
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        message = f"must be a dict with 'type' or with 'class_path', got {spec!r}"
        raise ConfigError(key, f'{kind} {message}' if kind else message)
    rest = {name: value for name, value in spec.items() if name not in ('type', 'class_path', 'init_args')}
    if 'type' in spec:
        return str(spec['type']), rest | {name: spec[name] for name in ('init_args',) if name in spec}
    inner = spec.get('init_args') or {}
    if not isinstance(inner, dict):
        message = f'must be a dict of arguments, got {inner!r}'
        raise ConfigError(f'{key}.init_args', message)
    return str(spec['class_path']), {**rest, **inner}


def find_class(name: str, known: Mapping[str, Any], key: str) -> type | None:
    """Return the class with a name among the known ones, or with a path; None for an unknown name.

    Raises:
        ConfigError: if nothing can be imported from the path.
    """
    module, _, attribute = name.rpartition('.')
    if name.startswith('.'):
        raise ConfigError(key, f"unknown class '{name}': a path must start with a package")
    try:
        found = getattr(importlib.import_module(module), attribute) if module else known.get(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(key, f"unknown class '{name}': {error}") from error
    return found if inspect.isclass(found) else None


def import_class(path: str, base: type, key: str) -> type:
    """Import the class `package.module.Class`, which must be a subclass of `base`.

    Raises:
        ConfigError: if there is no such class, or it is not a subclass of `base`.
    """
    found = find_class(path, {}, key)
    if found is None or not issubclass(found, base):
        raise ConfigError(key, f'{path} is not a subclass of {base.__name__}')
    return found


def construct(cls: type, arguments: dict[str, Any], name: str, key: str) -> Any:
    """Build an object, after checking the names and types of its arguments.

    Raises:
        ConfigError: for an unknown argument (with the nearest valid one) or a wrong value.
    """
    valid = inspect.signature(cls).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in valid.values())
    for argument in arguments:
        # albumentations itself only warns about an unknown argument and ignores it.
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
    """Convert arguments to the annotated types, for example a list to a tuple.

    Arguments without an annotation stay unchanged, as do those of albumentations, which checks them itself.

    Raises:
        ConfigError: for a value of the wrong type.
    """
    if cls.__module__.partition('.')[0] == 'albumentations':
        return arguments
    types = type_hints(cls.__init__)  # type: ignore[misc]  # of the class itself, not of an instance
    parameters = inspect.signature(cls).parameters

    def default(name: str) -> Any:  # may have another type: `limit: int = None` is common
        return parameters[name].default if name in parameters else inspect.Parameter.empty

    return {
        name: _converted(value, types[name], f'{key}.{name}') if name in types and value is not default(name) else value
        for name, value in arguments.items()
    }


def type_hints(function: Any) -> dict[str, Any]:
    """Return the annotated types of a function's arguments; none if they cannot be evaluated."""
    try:
        return get_type_hints(function)
    except (NameError, AttributeError, TypeError):  # for example names imported only for type checking
        return {}


def type_adapter(wanted: Any) -> TypeAdapter[Any] | None:
    """Return pydantic's validator of a type; None if pydantic does not support it, or it has its own config."""
    try:
        return TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return None


def _converted(value: Any, wanted: Any, key: str) -> Any:
    """Convert a value to a type, strictly, except for JSON's substitutes: lists for tuples, strings for keys.

    Raises:
        ConfigError: if it has another type.
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
        choices = re.fullmatch(r'Literal\[([^]]*)\]', name)
        text = f'must be one of {choices[1]}' if choices else f'expected {name}'
        raise ConfigError(key, f'{text}, got {value!r}') from error


def _reason(error: Exception) -> str:
    """Return an error message in one line; albumentations validates with pydantic."""
    cause = error.__cause__ or error  # albumentations wraps it in a ValueError
    if isinstance(cause, ValidationError):
        return '; '.join(f'{".".join(map(str, each["loc"]))}: {each["msg"]}' for each in cause.errors())
    return one_line(error)
