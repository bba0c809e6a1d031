"""What the processes of a run tell each other."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import distributed

T = TypeVar('T')


def gathered(own: T) -> list[T]:
    """Return what each process gives, by rank; all of them have to call this. Pickled, so better no GPU tensors."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [own]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return parts
