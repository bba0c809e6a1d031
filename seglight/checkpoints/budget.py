"""Limits on the size of a model built from a checkpoint, checked before memory is allocated."""

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

#: Limit on modules and tensors of a model: per weight, and in addition; mmseg's models have 3 per weight.
PARTS_FOR_EACH, MORE_PARTS = 10, 2000

#: Numbers that a model may have beyond twice those in its checkpoint, for example computed tables.
SLACK = 50_000_000

#: Limit on all numbers of a model.
MOST_NUMBERS = 4_000_000_000


@contextmanager
def within_budget(path: Path, weights: Mapping[str, Any]) -> Iterator[None]:
    """Allow only models about as large as the given weights to be built inside.

    Args:
        path: the checkpoint, for errors.
        weights: its weights.

    Raises:
        CheckpointError: as soon as the model has more parts or numbers.
    """
    stored = sum(value.numel() for value in weights.values() if isinstance(value, Tensor))
    budget = _Budget(path, min(2 * stored + SLACK, MOST_NUMBERS), PARTS_FOR_EACH * len(weights) + MORE_PARTS)
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

    def __init__(self, path: Path, max_numbers: int, max_parts: int) -> None:
        self.path = path
        self.max_numbers = max_numbers
        self.max_parts = max_parts
        self.parts = 0
        self.numbers = 0

    def count_module(self, _: nn.Module, name: str, part: nn.Module | None) -> None:
        """Count a module that is registered in another."""
        del name, part
        self._count_part()

    def count_parameter(self, _: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        """Count a parameter."""
        del name
        self._count_part()
        self.numbers += 0 if parameter is None or parameter.is_meta else parameter.numel()  # meta takes no memory
        self.check(0)

    def check(self, size: int) -> None:
        """Check the size of a tensor, and the total of the parameters so far.

        Raises:
            CheckpointError: if it is too large.
        """
        if max(size, self.numbers) > self.max_numbers:
            raise CheckpointError(
                f'{self.path} describes a model of more than {self.max_numbers:,} numbers, far more than it contains'
            )

    def _count_part(self) -> None:
        self.parts += 1
        if self.parts > self.max_parts:
            raise CheckpointError(
                f'{self.path} describes a model of more than {self.max_parts:,} parts, far more than it contains'
            )


class _Measured(TorchDispatchMode):
    """Computes the size of each operation's result on torch's meta device, then runs the operation."""

    def __init__(self, budget: _Budget) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.budget = budget

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation if its result is within the budget."""
        del types
        kwargs = kwargs or {}
        is_inplace = func.__name__.partition('.')[0].endswith('_')
        if _upper_bound(args, kwargs) > self.budget.max_numbers and not is_inplace:
            self.budget.check(_size(func, args, kwargs))
        return func(*args, **kwargs)


def _upper_bound(args: Any, kwargs: Any) -> int:
    """Return an upper bound of the size of an operation's result: the product of all sizes and numbers it receives.

    It is fast to compute, and within the budget for nearly all operations, so that few need to be measured.
    """
    bound = 1
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, Tensor):
            bound *= max(leaf.numel(), 1)
        elif isinstance(leaf, (int, float)) and abs(leaf) > 1:
            bound *= int(min(abs(leaf), 2**62))  # also handles infinity
    return bound


def _size(func: Any, args: Any, kwargs: dict[str, Any]) -> int:
    """Return how many numbers an operation would return; 0 if only running it can show that."""
    meta = {**kwargs, 'device': torch.device('meta')} if 'device' in kwargs else kwargs
    try:
        moved = tree_map_only(Tensor, _as_meta, (args, meta))
        result = func(*moved[0], **moved[1])
    except Exception:  # an operation that depends on values, such as `item`, or that has no meta kernel
        return 0
    sizes: list[int] = []
    tree_map_only(Tensor, lambda value: sizes.append(value.numel()), result)
    return max(sizes, default=0)


def _as_meta(value: Tensor) -> Tensor:
    return torch.empty_strided(value.size(), value.stride(), dtype=value.dtype, device='meta')
