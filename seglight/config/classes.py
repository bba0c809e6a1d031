"""Objects from the dicts of a config: `{type: Name, ...}` or `{class_path: package.Name, init_args: {...}}`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

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
        message = f"{f'{key}: {what}' if what else key} is a dict with 'type' or with 'class_path', not {spec!r}"
        raise ConfigError(message, tuple(key.split('.')))
    rest = {name: value for name, value in spec.items() if name not in ('type', 'class_path', 'init_args')}
    if 'type' in spec:
        return str(spec['type']), rest | {name: spec[name] for name in ('init_args',) if name in spec}
    return str(spec['class_path']), {**rest, **(spec.get('init_args') or {})}


def find_class(name: str, known: Mapping[str, Any], key: str) -> type | None:
    """Return the class of a name among the known ones, or of a path; None for a name that is unknown.

    Raises:
        ConfigError: if the path leads to nothing.
    """
    module, _, attribute = name.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), attribute) if module else known.get(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}: there is no class '{name}': {error}", tuple(key.split('.'))) from error
    return found if inspect.isclass(found) else None


def import_class(path: str, base: type, key: str) -> type:
    """Import the class `package.module.Class`, which must be a `base`: a config may come from a checkpoint.

    Raises:
        ConfigError: if there is no such class, or it is of another kind.
    """
    found = find_class(path, {}, key)
    if found is None or not issubclass(found, base):
        raise ConfigError(f'{key}: {path} is no {base.__name__}', tuple(key.split('.')))
    return found


def construct(cls: type, arguments: dict[str, Any], name: str, key: str) -> Any:
    """Build an object; an argument that its class does not have is an error.

    Raises:
        ConfigError: for an unknown argument, with the nearest valid one, or a wrong value.
    """
    valid = inspect.signature(cls).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in valid.values())
    for argument in arguments:
        # albumentations itself only warns of an argument it does not know, and goes on without it.
        if argument not in valid and not open_ended:
            message = f"{key}: {name} has no argument '{argument}'{nearest(argument, valid)}"
            raise ConfigError(message, (*key.split('.'), argument))
    try:
        return cls(**arguments)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{key}: {name} cannot be built: {_reason(error)}', tuple(key.split('.'))) from error


def _reason(error: Exception) -> str:
    """Return what is wrong with an argument, in one line; albumentations checks with pydantic."""
    cause = error.__cause__ or error  # albumentations repeats it as a ValueError
    if isinstance(cause, ValidationError):
        return '; '.join(f'{".".join(map(str, each["loc"]))}: {each["msg"]}' for each in cause.errors())
    return one_line(error)
