"""Command-line overrides inside plain dicts, and the check for unknown keys."""

from __future__ import annotations

import re
from collections.abc import Iterable, Set
from typing import Any, NamedTuple

from seglight.config.arguments import Arguments, Flag
from seglight.config.files import parse_yaml
from seglight.config.settings import Key, Origin, Settings, groups, merge, paths
from seglight.errors import UsageError
from seglight.similar import nearest


class Override(NamedTuple):
    """One nested key, the value it gets, and the flag as typed."""

    key: Key
    value: Any
    typed: str


def take_overrides(arguments: Arguments, plain: frozenset[Key]) -> list[Override]:
    """Remove and return the flags that set a plain dict or list, or a value inside one.

    jsonargparse merges only the first level of a `dict[str, Any]`: `--model.segmentor.a.b=1` would
    drop everything else in `a`. Such flags are therefore applied to the configs before it sees them.

    Args:
        arguments: modified in place.
        plain: the keys whose values are plain dicts or lists, for example `('model', 'segmentor')`.

    Raises:
        UsageError: if such a flag has no value, or one that is not YAML.
    """
    overrides: list[Override] = []
    kept: list[Flag] = []
    index = 0
    while index < len(arguments.flags):
        flag = arguments.flags[index]
        key = tuple(flag.name.removeprefix('--').split('.'))
        if flag.name.endswith('+') or not any(key[: len(root)] == root for root in plain):
            kept.append(flag)
        else:
            typed = arguments.typed(index)
            value = flag.value
            if value is None:
                index += 1
                following = arguments.flags[index : index + 1]
                if not following or following[0].name:
                    raise UsageError(f'{flag.typed} needs a value')
                value = str(following[0].value)
            if not value.strip():
                raise UsageError(f'{flag.typed} needs a value; null stands for none')
            overrides.append(Override(key, parse_value(value, typed), typed))
        index += 1
    arguments.flags = kept
    return overrides


def parse_value(text: str, typed: str) -> Any:
    """Return the value of a YAML text; tuples, as in `[(512, 512), (769, 769)]`, become lists.

    Raises:
        UsageError: if it is not valid YAML.
    """
    if re.fullmatch(r'\s*[(\[][^"\']*[)\]]\s*', text):
        text = text.translate(str.maketrans('()', '[]'))
    return parse_yaml(f'value: {text}', typed).values['value']


def apply_overrides(settings: Settings, overrides: list[Override]) -> Settings:
    """Return `settings` with the overrides merged in, in order, by the rules of `merge`.

    A number in a key is the index of a list item.

    Raises:
        UsageError: if a key leads through something other than a dict or list, or past the end of a list.
    """
    result = settings.merged_with(Settings())
    for override in _deletions_first(overrides):
        _set(result.values, override)
        keys = [override.key, *paths(override.value, override.key)]
        kept = result.origins_beside(override.value, override.key)
        result.origins = {**kept, **dict.fromkeys(keys, Origin(override.typed))}
    return result


def _deletions_first(overrides: list[Override]) -> list[Override]:
    """Return the overrides with each `a._delete_=true` moved before the other overrides inside `a`.

    As in mmcv, it drops only what the configs set in `a`, not what was typed.
    """
    deletions = [each for each in overrides if each.key[-1] == '_delete_' and len(each.key) > 1]
    result = [each for each in overrides if each not in deletions]
    for each in deletions:
        inside = (index for index, other in enumerate(result) if other.key[: len(each.key) - 1] == each.key[:-1])
        if each.value is True:
            result.insert(next(inside, len(result)), Override(each.key[:-1], {'_delete_': True}, each.typed))
    return result


def _set(node: Any, override: Override) -> None:
    """Set one nested key in place, creating missing dicts on the way."""
    for depth, name in enumerate(override.key):
        where = '.'.join(override.key[:depth]) or 'the config'
        last = depth + 1 == len(override.key)
        place: Any = name
        if isinstance(node, list):
            if not name.isdigit() or int(name) >= len(node):
                raise UsageError(f"{override.typed}: {where} is a list of {len(node)} and has no item '{name}'")
            place = int(name)
        elif isinstance(node, dict) and node and name.isdigit() and name not in node:
            raise UsageError(f"{override.typed}: {where} is a dict, not a list; remove the '{name}'")
        elif not isinstance(node, dict):
            raise UsageError(f"{override.typed}: {where} is {node!r} and has no '{name}'")
        elif not last and node.get(name) is None:
            node[name] = {}
        if last:
            node[place] = merge(node[place] if isinstance(node, list) else node.get(place), override.value)
        node = node[place]


def check_flags(arguments: Arguments, options: frozenset[str], known: frozenset[Key]) -> None:
    """Reject the first unknown flag, including abbreviations.

    Args:
        arguments: the flags that remain for jsonargparse.
        options: the flags of the command.
        known: the keys of the command; jsonargparse itself checks anything below them.

    Raises:
        UsageError: names the flag as typed and the nearest valid one.
    """
    for index, (name, *_) in enumerate(arguments.flags):
        flag = name.removesuffix('+')
        key = tuple(flag.removeprefix('--').split('.'))
        below = any(key[:end] in known for end in range(1, len(key)))
        if flag and flag not in options and not below:
            raise UsageError(f"unknown option '{arguments.typed(index)}'{_nearest_option(flag, options)}")


def check_keys(settings: Settings, known: frozenset[Key]) -> None:
    """Reject the first unknown key.

    Args:
        settings: the resolved configs.
        known: the keys of the command.

    Raises:
        UsageError: names the file, the line, the key and the nearest valid one.
    """
    valid = known | groups(known)
    for key in settings.keys(known):
        if key in known:
            continue
        if key in valid:  # a group with a single value
            raise UsageError(f"{settings.origin(key) or 'the config'}: '{'.'.join(key)}' must be a mapping of keys")
        wrong = _unknown_start(key, valid)
        hint = nearest(wrong[-1], {other[-1] for other in valid if other[:-1] == wrong[:-1]})
        raise UsageError(f"{settings.origin(wrong) or 'the config'}: unknown key '{'.'.join(wrong)}'{hint}")


def check_nulls(settings: Settings, keys: Iterable[Key]) -> None:
    """Reject null for keys that need a value.

    Args:
        settings: the resolved configs.
        keys: the keys that need a value.

    Raises:
        UsageError: names the file, the line and the key.
    """
    for key in sorted(keys):
        inner: Any = settings.values
        for name in key:
            inner = inner.get(name, key) if isinstance(inner, dict) else key  # the key itself: it is not set
        if inner is None:
            origin = settings.origin(key) or 'the config'
            raise UsageError(f'{origin}: {".".join(key)} must not be null; omit it for the default')


def _nearest_option(flag: str, options: Iterable[str]) -> str:
    """Return a hint for an unknown flag: the most similar one or group, or else one that is equal behind its group."""
    options, last = sorted(options), _bare(flag)
    keys = {tuple(each.split('.')) for each in options}
    valid = keys | groups(keys)
    wrong = '.'.join(_unknown_start(tuple(flag.split('.')), valid))
    return (
        nearest(flag, options, cutoff=0.8)
        or nearest(wrong, sorted('.'.join(key) for key in valid), cutoff=0.8)
        or nearest(last, [each for each in options if _bare(each) == last], cutoff=0)
    )


def _unknown_start(key: Key, valid: Set[Key]) -> Key:
    """Return a key up to its first part that is not valid; the whole if each is."""
    return next((key[:end] for end in range(1, len(key)) if key[:end] not in valid), key)


def _bare(flag: str) -> str:
    """Return the last part of a flag without dashes, which stand for underscores, too."""
    return flag.removeprefix('--').rpartition('.')[2].replace('-', '_')
