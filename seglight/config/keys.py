"""The keys that a parser takes, and their types."""

from __future__ import annotations

import types
import typing
from argparse import ArgumentParser
from typing import Any

from seglight.config.settings import Key, groups


def argument_types(parser: ArgumentParser) -> dict[Key, Any]:
    """Return the type hint of every key that a parser takes, None where it has none; groups are no keys."""
    hints = {
        tuple(action.dest.split('.')): getattr(action, '_typehint', None)
        for action in parser._actions
        if not action.dest.endswith('.help')
    }
    inner = groups(hints)
    return {key: hint for key, hint in hints.items() if key not in inner}


def prefer_int_to_float(parser: ArgumentParser) -> None:
    """Let `--trainer.limit_train_batches=1` mean one batch, not 1.0, which is all of them.

    Lightning declares `Optional[Union[int, float]]`, but Python's typing hands out one object for
    all unions of equal members, whatever their order, and jsonargparse takes the first that fits. So
    the meaning depends on which library was imported first.
    """
    for action in parser._actions:
        members = typing.get_args(getattr(action, '_typehint', None))
        if len(members) == 3 and all(kind in members for kind in (int, float, type(None))):
            action._typehint = typing.Union[int, float, None]  # type: ignore[attr-defined]  # noqa: UP007


def is_plain(hint: Any) -> bool:
    """Tell whether a type hint is a dict or a list of dicts, or optionally one."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(is_plain(part) for part in typing.get_args(hint))
    if typing.get_origin(hint) is list:
        return any(is_plain(part) for part in typing.get_args(hint))
    return hint is dict or typing.get_origin(hint) is dict
