"""Communication between the processes of a run."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import distributed

T = TypeVar('T')


class Vote:
    """Whether any process wants something, asked in every step without waiting for the others.

    With several processes, each call returns the result of the call before, which was counted in the meantime, so that
    all agree at the same step. It is counted on the host, so that no GPU takes part. All processes must ask equally
    often.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._counting: tuple[Any, torch.Tensor] | None = None

    def any(self, own: bool) -> bool:
        """Vote, and return whether any process has voted for it: in this call in a single process, else in the last."""
        if not is_distributed():
            return own
        if self._group is None:
            self._group = distributed.new_group(backend='gloo')
        if self._counting is not None:
            count, votes = self._counting
            self._counting = None
            count.wait()
            if votes.numpy().any():
                return True
        votes = torch.tensor([own], dtype=torch.uint8)
        self._counting = distributed.all_reduce(votes, distributed.ReduceOp.MAX, self._group, async_op=True), votes
        return False


def is_distributed() -> bool:
    """Return whether this process is one of several that communicate."""
    return distributed.is_available() and distributed.is_initialized()


def gathered(own: T) -> list[T]:
    """Return the values of all processes, by rank; all must call this. Values are pickled: pass no GPU tensors."""
    if not is_distributed():
        return [own]
    parts: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(parts, own)
    return parts
