"""Classes that a config names: by a short name, or by their path in a package of the user's own."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from seglight.config.settings import Key
from seglight.errors import ConfigError


def name_and_arguments(spec: dict[str, Any], key: Key) -> tuple[str, dict[str, Any]]:
    """Take `{type: Name, lr: 0.1}`, or `{class_path: package.Name, init_args: {lr: 0.1}}`, apart.

    Raises:
        ConfigError: if it is neither, or both.
    """
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        raise ConfigError(f"{'.'.join(key)} is a dict with 'type' or with 'class_path', not {spec!r}", key)
    if 'type' in spec:
        return str(spec['type']), {name: value for name, value in spec.items() if name != 'type'}
    rest = {name: value for name, value in spec.items() if name not in ('class_path', 'init_args')}
    return str(spec['class_path']), {**rest, **(spec.get('init_args') or {})}


def import_class(path: str, base: type, key: Key) -> type:
    """Import the class `package.module.Class`, which must be a `base`: a config may come from a checkpoint.

    Raises:
        ConfigError: if there is no such class, or it is of another kind.
    """
    module, _, name = path.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{'.'.join(key)}: there is no class '{path}': {error}", key) from error
    if not inspect.isclass(found) or not issubclass(found, base):
        raise ConfigError(f'{".".join(key)}: {path} is no {base.__name__}', key)
    return found
