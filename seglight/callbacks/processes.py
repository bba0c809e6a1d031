"""Communication between the processes of a run."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import distributed

T = TypeVar('T')


def gathered(own: T) -> list[T]:
    """Return the values of all processes, by rank; all must call this. Values are pickled: pass no GPU tensors."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return parts
