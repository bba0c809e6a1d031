"""Nested settings that record the file and line of every key."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from seglight.files import expand_home

Key = tuple[str, ...]


@dataclass(frozen=True)
class Origin:
    """Where a key was written: a config file and its line, counted from 1, or a flag as typed."""

    source: str
    line: int | None = None

    def __str__(self) -> str:
        """Return `file:line`, or the flag."""
        return self.source if self.line is None else f'{self.source}:{self.line}'


@dataclass
class Settings:
    """A nested dict of settings and the origin of each of its keys."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Origin] = field(default_factory=dict)

    def merged_with(self, over: Settings) -> Settings:
        """Return these settings with `over` merged in, by the rules of `merge`."""
        return Settings(merge(self.values, over.values), {**self.origins_beside(over.values), **over.origins})

    def origins_beside(self, over: Any, path: Key = ()) -> dict[Key, Origin]:
        """Return the origins of the keys that remain when `over` is merged into the value at `path`."""
        replaced = set(_replaced(over, path))
        return {
            key: origin
            for key, origin in self.origins.items()
            if not any(key[:end] in replaced for end in range(len(path), len(key)))
        }

    def without(self, names: set[str]) -> Settings:
        """Return these settings without some top-level keys."""
        values = {name: value for name, value in self.values.items() if name not in names}
        return Settings(values, {key: origin for key, origin in self.origins.items() if key[0] in values})

    def without_plus(self) -> Settings:
        """Return these settings with each remaining `name+`, which found no list to extend, renamed to `name`."""
        origins = {tuple(part.removesuffix('+') for part in key): origin for key, origin in self.origins.items()}
        return Settings(_without_plus(self.values), origins)

    def with_home(self) -> Settings:
        """Return these settings with `~` in their paths expanded."""
        return Settings(_with_home(self.values), self.origins)

    def origin(self, key: Key) -> Origin | None:
        """Return where `key`, or else the nearest key above it, was written."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.origins:
                return self.origins[key[:end]]
        return None

    def keys(self, known: frozenset[Key]) -> Iterator[Key]:
        """Yield the path of every key, without entering the values of the `known` keys."""
        inner = groups(known) - known

        def walk(values: dict[str, Any], path: Key) -> Iterator[Key]:
            for name, value in values.items():
                key = (*path, str(name))
                if isinstance(value, dict) and key in inner:
                    yield from walk(value, key)
                else:
                    yield key

        yield from walk(self.values, ())


def groups(keys: Iterable[Key]) -> set[Key]:
    """Return the path of every group that contains one of the keys."""
    return {key[:end] for key in keys for end in range(1, len(key))}


def merge(base: Any, over: Any, marks: bool = False) -> Any:
    """Merge `over` into `base` and return the result; neither is changed.

    Dicts merge recursively; everything else, including lists, is replaced. `_delete_: true` in a dict of
    `over` makes it replace instead of merge, as in mmcv's `Config`; a key such as `callbacks+` extends a list.
    With `marks`, the result keeps `_delete_`, for a later merge into another base.
    """
    if not isinstance(over, dict):
        return copy.deepcopy(over)
    over = dict(over)
    deleted = over.pop('_delete_', False)
    if deleted or not isinstance(base, dict):
        base = {}
    merged = copy.deepcopy(base)
    if deleted and marks:
        merged['_delete_'] = True
    for name, value in over.items():
        if str(name).endswith('+') and isinstance(value, list):
            _append(merged, str(name), value)
        else:
            merged[name] = merge(base.get(name), value, marks)
            if f'{name}+' in base:
                merged.pop(f'{name}+', None)  # what was to extend the list that this replaces
    return merged


def _append(merged: dict[str, Any], name: str, items: list[Any]) -> None:
    """Extend the list `name` with the items of `name+`, or keep them as `name+` if there is no list yet.

    Null means an empty list, and any other value a list of it.
    """
    plain = name.removesuffix('+')
    key = plain if plain in merged else name
    value = merged.get(key)
    earlier = value if isinstance(value, list) else [] if value is None else [value]
    merged[key] = [*earlier, *copy.deepcopy(items)]


def _replaced(value: Any, path: Key) -> Iterator[Key]:
    """Yield the paths whose values `merge` replaces entirely."""
    if not isinstance(value, dict) or value.get('_delete_'):
        yield path
    else:
        for name, inner in value.items():
            yield from _replaced(inner, (*path, str(name)))


def paths(value: Any, path: Key = ()) -> Iterator[Key]:
    """Yield the path of every key of nested settings, but not below the items of a list."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield (*path, str(name))
        yield from paths(inner, (*path, str(name)))


def _without_plus(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name).removesuffix('+'): _without_plus(inner) for name, inner in value.items()}
    return value


def _with_home(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_home(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_home(inner) for inner in value]
    return expand_home(value) if isinstance(value, str) and value.startswith('~') else value


def dicts(value: Any, path: str = '') -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every dict in a nested value with its dotted path, outermost first."""
    if isinstance(value, dict):
        yield path, value
        for name, inner in value.items():
            yield from dicts(inner, f'{path}.{name}' if path else str(name))
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from dicts(inner, f'{path}.{index}')


def without_tuples(value: Any) -> Any:
    """Return a nested value with tuples converted to lists, since YAML has no tuples."""
    if isinstance(value, dict):
        return {name: without_tuples(inner) for name, inner in value.items()}
    return [without_tuples(inner) for inner in value] if isinstance(value, (list, tuple)) else value
