"""Building segmentors only to load the weights of a checkpoint into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch.overrides import TorchFunctionMode

_only_loading: ContextVar[bool] = ContextVar('only_loading', default=False)


@contextmanager
def only_loading() -> Iterator[None]:
    """Build segmentors whose weights are all loaded afterwards.

    Their own weights stay uninitialised, no loss is tried and no optimizer is built.
    """
    token = _only_loading.set(True)
    try:
        with _WithoutInit():
            yield
    finally:
        _only_loading.reset(token)


def is_only_loading() -> bool:
    """Return whether segmentors are being built within `only_loading`."""
    return _only_loading.get()


class _WithoutInit(TorchFunctionMode):
    """Makes the functions of `torch.nn.init` leave tensors unchanged."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Skip `torch.nn.init`, and run every other function."""
        del types
        kwargs = kwargs or {}
        if getattr(func, '__module__', None) == 'torch.nn.init':
            return kwargs['tensor'] if 'tensor' in kwargs else args[0]
        return func(*args, **kwargs)
