"""Check the data of a checkpoint: classes, sources, splits, transforms and mixes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

from seglight.checkpoints import allowed, cost
from seglight.checkpoints.plain_checks import MOST_LEVELS, Refused, check_number, check_text, check_value, listed, shown
from seglight.config.settings import Key
from seglight.data.value_range import parse_range
from seglight.errors import ConfigError

#: Limit on repetitions in a regular expression; each multiplies the time by the length of a name.
MOST_QUANTIFIERS = 4

#: Arguments of transforms that open files or call functions.
_OPENS = re.compile(r'path|file|url|fn$|reference|template|metadata_key|deserializ')


def check_names(names: Any, key: Key) -> None:
    """Refuse classes that are not a list of short names."""
    if not isinstance(names, list) or not 1 <= len(names) <= 255 or not all(isinstance(name, str) for name in names):
        raise Refused('must be a list of 1 to 255 names', key)
    for index, name in enumerate(names):
        check_text(name, (*key, str(index)), 200)


def check_label(value: Any, key: Key) -> None:
    """Refuse anything but a label of a mask."""
    if type(value) is not int or not 0 <= value <= 255:
        raise Refused(f'must be a label from 0 to 255, got {shown(value)}', key)


def check_range(value: Any, key: Key) -> None:
    """Refuse anything but a range of image values."""
    check_value(value, key)
    try:
        parse_range(value)
    except ConfigError as error:
        raise Refused(error.text, key) from error


def check_palette(palette: Any, key: Key) -> None:
    """Refuse colours that are not three integers each."""
    colours = listed(palette, key)
    for colour in colours:
        if not isinstance(colour, (list, tuple)) or [type(channel) for channel in colour] != [int] * 3:
            raise Refused('must be a list of colours, each three integers', key)


#: Arguments of any data source, see `seglight.data.sources.build_sources`.
_OF_SOURCES = ('repeat', 'only_train')


def check_sources(spec: Any, key: Key) -> None:
    """Refuse data sources that are neither from this project nor data sets of mmseg."""
    if isinstance(spec, list):
        for index, each in enumerate(spec):
            check_sources(each, (*key, str(index)))
    elif isinstance(spec, str):
        check_text(spec, key)
    else:
        _check_object(spec, key, allowed.find_source, lambda _, value, where: check_value(value, where), _OF_SOURCES)


def check_split(split: Any, key: Key) -> None:
    """Refuse a regular expression for groups that could take exponential time."""
    check_value(split, key)
    group = split.get('group') if isinstance(split, dict) else None
    if isinstance(group, str) and not _is_quick(group):
        message = f'must have at most {MOST_QUANTIFIERS} repetitions, and none of brackets'
        raise Refused(message, (*key, 'group'))


def _is_quick(pattern: str) -> bool:
    """Return whether a regular expression is certain to be fast: it has few repetitions, and none of brackets."""
    if re.search(
        r'\(\?(?!:|P<)', pattern
    ):  # a comment could hide what follows it, and a flag changes the meaning of letters
        return False
    letters = re.sub(r'\\.|\[[^\]]*\]', 'x', pattern)
    letters = re.sub(r'\(\?|(?<!\))\{\d{1,2}\}', '(', letters)  # what a bracket is, and exact counts of one letter
    return len(pattern) <= 1000 and not re.search(r'\)[*+{]', letters) and _quantifiers(letters) <= MOST_QUANTIFIERS


def _quantifiers(letters: str) -> int:
    return len(re.findall(r'[*+?{]', letters))


def check_transforms(specs: Any, key: Key) -> None:
    """Refuse transforms that are not from albumentations or this project, and arguments that open files."""
    for index, spec in enumerate(listed(specs, key)):
        _check_object(spec, (*key, str(index)), allowed.find_transform, _check_transform_argument)
    if len(key) == 2 and (runs := sum(map(cost.runs, listed(specs, key)))) > cost.MOST_RUNS:
        raise Refused(
            f'may run {cost.MOST_RUNS} transforms for an image, a slow one counts {cost.SLOW}; got {runs:,}', key
        )


def check_mixes(specs: Any, key: Key) -> None:
    """Refuse mixes that are not from this project."""
    for index, spec in enumerate(listed(specs, key)):
        _check_object(spec, (*key, str(index)), allowed.find_mix, _check_transform_argument)


def _check_object(
    spec: Any,
    key: Key,
    find: Callable[[str], type | None],
    check_argument: Callable[[str, Any, Key], None],
    others: Sequence[str] = (),
) -> None:
    """Check the dict of an object: its class, the names of its arguments, `others` among them, and their values."""
    if not isinstance(spec, dict) or ('type' in spec) == ('class_path' in spec):
        raise Refused("must be a dict with 'type' or with 'class_path'", key)
    name = spec.get('type', spec.get('class_path'))
    cls = find(name) if isinstance(name, str) else None
    if cls is None:
        raise Refused(f"a checkpoint may not name '{shown(name)}'", key)
    inner = spec.get('init_args') or {}
    if not isinstance(inner, dict):
        raise Refused('must be a dict of arguments', (*key, 'init_args'))
    rest = {name: value for name, value in spec.items() if name not in ('type', 'class_path', 'init_args')}
    valid = inspect.signature(cls).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in valid.values())
    for argument, value in {**rest, **inner}.items():
        where = (*key, str(argument))
        if not isinstance(argument, str) or not (argument in valid or argument in others or open_ended):
            raise Refused(f"{shown(name)} has no argument '{shown(argument)}'", key)
        check_argument(argument, value, where)
    if fault := cost.transform_fault({**rest, **inner}):
        raise Refused(fault[1], (*key, fault[0]))


def _check_transform_argument(name: str, value: Any, key: Key) -> None:
    """Check an argument of a transform, which may contain transforms itself."""
    if len(key) > MOST_LEVELS:
        raise Refused(f'has more than {MOST_LEVELS} levels', key[:2])
    if name == 'transforms':
        check_transforms(value, key)
        return
    if _OPENS.search(name):
        raise Refused('a checkpoint may not give this argument', key)
    _check_sizes(value, key)


def _check_sizes(value: Any, key: Key) -> None:
    """Refuse anything but words and numbers of pixels."""
    if isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            if name == 'class_path' or len(key) > MOST_LEVELS:
                raise Refused(f"a checkpoint may not have the key '{shown(name)}' here", key)
            _check_sizes(inner, (*key, str(name)))
    elif isinstance(value, (int, float)):
        check_number(value, key, cost.highest(next(part for part in reversed(key) if not part.isdigit())))
    elif isinstance(value, str):
        check_text(value, key, 200)
        if re.search(r'[/\\:]', value):
            raise Refused(f"must be a word, not a path or an address, got '{shown(value)}'", key)
    elif value is not None:
        raise Refused(f'must be a number, word, list or dict, got {type(value).__name__}', key)
