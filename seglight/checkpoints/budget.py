"""Bounds on what is built because a checkpoint describes it, counted before the memory is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from seglight.errors import CheckpointError

#: Parts of a model, modules and tensors, for each of its weights, and those beyond; mmseg's models have 3 for each.
PARTS_FOR_EACH, MORE_PARTS = 10, 2000

#: Numbers that a model may have beyond those in its checkpoint, such as tables that it makes from its sizes.
SLACK = 50_000_000

#: Numbers of a model in all.
MOST_NUMBERS = 4_000_000_000


@contextmanager
def within_budget(path: Path, weights: Mapping[str, Any]) -> Iterator[None]:
    """Let a model be built that is about as large as the weights that it is to take.

    Args:
        path: the checkpoint, for errors.
        weights: the weights in it.

    Raises:
        CheckpointError: inside, as soon as the model has more parts or numbers.
    """
    held = sum(value.numel() for value in weights.values() if isinstance(value, Tensor))
    budget = _Budget(path, min(2 * held + SLACK, MOST_NUMBERS), PARTS_FOR_EACH * len(weights) + MORE_PARTS)
    with ExitStack() as stack:
        for hook in (
            registration.register_module_module_registration_hook(budget.count_module),
            registration.register_module_parameter_registration_hook(budget.count_parameter),
        ):
            stack.callback(hook.remove)
        stack.enter_context(_Measured(budget))
        yield


class _Budget:
    """Counts parts and numbers."""

    def __init__(self, path: Path, most: int, most_parts: int) -> None:
        self.path = path
        self.most = most
        self.most_parts = most_parts
        self.parts = 0
        self.numbers = 0

    def count_module(self, _: nn.Module, name: str, part: nn.Module | None) -> None:
        """Count a module that becomes part of another."""
        del name, part
        self._count_part()

    def count_parameter(self, _: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        """Count a tensor of weights."""
        del name
        self._count_part()
        self.numbers += 0 if parameter is None else parameter.numel()
        self.check(0)

    def check(self, size: int) -> None:
        """Refuse a tensor of some size, or all of the weights so far.

        Raises:
            CheckpointError: if it is too large.
        """
        if max(size, self.numbers) > self.most:
            raise CheckpointError(
                f'{self.path} describes a model of more than {self.most:,} numbers, far above its own'
            )

    def _count_part(self) -> None:
        self.parts += 1
        if self.parts > self.most_parts:
            raise CheckpointError(
                f'{self.path} describes a model of more than {self.most_parts:,} parts, far above its own'
            )


class _Measured(TorchDispatchMode):
    """Computes the size of what each operation returns on torch's meta device, then lets it run."""

    def __init__(self, budget: _Budget) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.budget = budget

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation whose result is within the budget."""
        del types
        kwargs = kwargs or {}
        if _most(args, kwargs) > self.budget.most and not func.__name__.partition('.')[0].endswith('_'):
            self.budget.check(_size(func, args, kwargs))
        return func(*args, **kwargs)


def _most(args: Any, kwargs: Any) -> int:
    """Return a number that what an operation returns cannot exceed: all sizes and numbers that it is given, multiplied.

    It is quick, and so small for nearly all operations that they need not be measured.
    """
    most = 1
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor):
            most *= max(leaf.numel(), 1)
        elif isinstance(leaf, (int, float)) and abs(leaf) > 1:
            most *= int(min(abs(leaf), 2**62))  # infinity is none that a size can have
    return most


def _size(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """Return how many numbers an operation would return; 0 where only running it can tell."""
    meta = {**kwargs, 'device': torch.device('meta')} if 'device' in kwargs else kwargs
    try:
        moved = tree_map_only(Tensor, _as_meta, (args, meta))
        result = func(*moved[0], **moved[1])
    except Exception:  # an operation that looks at numbers, such as `item`, or that has no kernel for sizes alone
        return 0
    found: list[int] = []
    tree_map_only(Tensor, lambda value: found.append(value.numel()), result)
    return max(found, default=0)


def _as_meta(value: Tensor) -> Tensor:
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device='meta')
