"""albumentations pipelines from a config's list of dicts."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

import albumentations as A
from pydantic import ValidationError

from seglight.config.settings import nearest
from seglight.errors import ConfigError, one_line


def build_pipeline(transforms: Sequence[dict[str, Any]], key: str, ignore_index: int = 255) -> A.Compose:
    """Build an albumentations pipeline.

    Args:
        transforms: one dict for each transform: mmseg's short form `{type: HorizontalFlip, p: 0.5}`,
            or `{class_path: albumentations.HorizontalFlip, init_args: {p: 0.5}}`.
        key: the config's key of the list, named in errors.
        ignore_index: fills the masks wherever a transform makes new pixels and no `fill_mask` is given.

    Raises:
        ConfigError: for an unknown transform or argument, with the nearest valid one, or a wrong value.
    """
    return A.Compose([_build(spec, f'{key}.{index}', ignore_index) for index, spec in enumerate(transforms)])


def _build(spec: dict[str, Any], key: str, ignore_index: int) -> A.BasicTransform:
    """Build one transform."""
    name, arguments = _name_and_arguments(spec, key)
    cls = _transform_class(name, key)
    valid = inspect.signature(cls).parameters
    for argument in arguments:
        # albumentations itself only warns of an argument it does not know, and goes on without it.
        if argument not in valid:
            message = f"{key}: {name} has no argument '{argument}'{nearest(argument, valid)}"
            raise ConfigError(message, (*key.split('.'), argument))
    if 'fill_mask' in valid:
        arguments.setdefault('fill_mask', ignore_index)
    try:
        transform: A.BasicTransform = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{key}: {name} cannot be built: {_reason(error)}', tuple(key.split('.'))) from error
    return transform


def _reason(error: Exception) -> str:
    """Return what is wrong with an argument, in one line; albumentations checks with pydantic."""
    cause = error.__cause__ or error  # albumentations repeats it as a ValueError
    if isinstance(cause, ValidationError):
        return '; '.join(f'{".".join(map(str, each["loc"]))}: {each["msg"]}' for each in cause.errors())
    return one_line(error)


def _name_and_arguments(spec: dict[str, Any], key: str) -> tuple[str, dict[str, Any]]:
    """Take either form of a transform's dict apart."""
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        message = f"{key}: a transform is a dict with 'type' or with 'class_path', not {spec!r}"
        raise ConfigError(message, tuple(key.split('.')))
    if 'type' in spec:
        return str(spec['type']), {name: value for name, value in spec.items() if name != 'type'}
    return str(spec['class_path']), dict(spec.get('init_args') or {})


def _transform_class(name: str, key: str) -> type:
    """Return the class of a transform: of albumentations by its name, any other by its path."""
    module, _, attribute = name.rpartition('.')
    try:
        found = getattr(importlib.import_module(module), attribute) if module else getattr(A, name, None)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{key}: there is no class '{name}': {error}", tuple(key.split('.'))) from error
    if not inspect.isclass(found):
        known = [each for each, value in vars(A).items() if inspect.isclass(value)]
        message = f"{key}: albumentations has no transform '{name}'{nearest(name, known)}"
        raise ConfigError(message, tuple(key.split('.')))
    if not issubclass(found, A.BasicTransform):  # asked before it is built: a config may come from a checkpoint
        raise ConfigError(f'{key}: {name} is no albumentations transform', tuple(key.split('.')))
    return found
