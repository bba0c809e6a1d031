"""Run a module on shapes alone: on torch's meta device, which computes no values and needs no memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar('Module', bound=nn.Module)

#: Packages whose modules do on shapes what they do on values; others may not.
KNOWN = ('mmseg.', 'mmcv.', 'mmcls.', 'timm.', 'torch.', 'torchvision.', 'seglight.')


class NeedsValuesError(Exception):
    """A module reads the values of tensors, so that it cannot run on shapes alone."""


def without_values(module: Module) -> Module:
    """Return a copy of a module on the meta device, which shares no state with it.

    Raises:
        NeedsValuesError: if a part is of an unknown package, or the module cannot be copied.
    """
    unknown = [part for part in module.modules() if not type(part).__module__.startswith(KNOWN)]
    if unknown:
        raise NeedsValuesError(f'{type(unknown[0]).__name__} is of an unknown package')
    memo: dict[int, object] = {}  # the parameters and buffers that `deepcopy` takes for copied
    for tensor in (*module.parameters(), *module.buffers()):
        shape = torch.empty_like(tensor, device='meta')
        memo[id(tensor)] = nn.Parameter(shape, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else shape
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:  # modules may be third-party code
        raise NeedsValuesError(str(error)) from error


def blank(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor that has only a shape."""
    return torch.empty(*sizes, dtype=dtype, device='meta')


@contextmanager
def on_shapes() -> Iterator[None]:
    """Run code with modules from `without_values` and tensors from `blank`; the random state stays unchanged.

    Raises:
        NeedsValuesError: if the code reads the values of a tensor.
    """
    try:
        with torch.random.fork_rng([]), torch.device('meta'):
            yield
    except (RuntimeError, ValueError, TypeError) as error:
        # torch has no class for these errors: "Tensor.item() cannot be called on meta tensors" is a RuntimeError.
        if isinstance(error, NotImplementedError) or 'meta' in str(error):
            raise NeedsValuesError(str(error)) from error
        raise
