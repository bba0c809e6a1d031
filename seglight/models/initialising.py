"""Whether segmentors are built to be trained, or only to take the weights of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch.overrides import TorchFunctionMode

_only_loading: ContextVar[bool] = ContextVar('only_loading', default=False)


@contextmanager
def only_loading() -> Iterator[None]:
    """Build segmentors for weights that follow, of which none may be missing.

    Their own weights are whatever the memory holds, no loss is tried and no optimizer is built.
    """
    token = _only_loading.set(True)
    try:
        with _WithoutInit():
            yield
    finally:
        _only_loading.reset(token)


def is_only_loading() -> bool:
    """Tell whether all weights of what is built follow."""
    return _only_loading.get()


class _WithoutInit(TorchFunctionMode):
    """Leaves tensors as they are where `torch.nn.init` would fill them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run every other function."""
        del types
        kwargs = kwargs or {}
        if getattr(func, '__module__', None) == 'torch.nn.init':
            return kwargs['tensor'] if 'tensor' in kwargs else args[0]
        return func(*args, **kwargs)
