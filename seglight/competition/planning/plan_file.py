"""The file of a plan: a config with a comment for each key."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglight.config.arguments import as_word
from seglight.config.files import BASE, SHIPPED
from seglight.errors import harmless, one_line


@dataclass(frozen=True)
class Choice:
    """A planned value, and the measurement that led to it."""

    value: Any
    reason: str


def text_of(bases: Sequence[str], choices: Mapping[str, Choice], title: str) -> str:
    """Return the text of a plan.

    Args:
        bases: the configs to inherit.
        choices: by dotted key.
        title: the first line.
    """
    lines = [_comment(title), f'{BASE}: {as_word(list(bases))}']
    open_groups: tuple[str, ...] = ()
    for key in sorted(choices, key=_group_of(choices)):
        *groups, name = key.split('.')
        differing = (at for at, (old, new) in enumerate(zip(open_groups, groups, strict=False)) if old != new)
        shared = next(differing, min(len(open_groups), len(groups)))
        lines += [f'{"  " * depth}{groups[depth]}:' for depth in range(shared, len(groups))]
        open_groups = tuple(groups)
        indent = '  ' * len(groups)
        lines += [f'{indent}{line}' for line in (_comment(choices[key].reason), *_entry(name, choices[key].value))]
    return '\n'.join([*lines, ''])


def _group_of(choices: Mapping[str, Choice]) -> Any:
    """Return a sort key that keeps the order of top-level groups as they first occur."""
    order = list(dict.fromkeys(key.split('.')[0] for key in choices))
    return lambda key: order.index(key.split('.')[0])


def _comment(text: str) -> str:
    return f'# {harmless(one_line(text))}'


def _entry(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of a key; the items of a list of dicts have a line each, as in the shipped configs."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        yield f'{name}:'
        yield from (f'  - {as_word(item, sort_keys=False)}' for item in value)
    else:
        yield f'{name}: {as_word(value)}'


def base_name(config: Path, folder: Path) -> str:
    """Return the path of a config as `_base_` of a file in a folder: relative to the folder, or to the shipped ones."""
    path = config.resolve()
    if path.is_relative_to(SHIPPED.resolve()):
        name = path.relative_to(SHIPPED.resolve()).as_posix()
        return name if not (folder / name).is_file() else str(path)
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return str(path)
