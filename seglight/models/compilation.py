"""torch.compile for the parts of a segmentor, in training."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

from seglight.errors import ConfigError, one_line
from seglight.similar import nearest

#: The parts of mmseg's segmentors to compile; a whole step is not a single module call.
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')

#: The torch loggers that report, with a traceback, what could not be compiled.
_LOGGERS = ('torch._dynamo.convert_frame', 'torch._functorch._aot_autograd.graph_compile')


def chosen_parts(chosen: bool | str | Sequence[str]) -> list[str]:
    """Return the parts that `model.compile` names: all for true, none for false.

    Raises:
        ConfigError: for an unknown part; names the nearest.
    """
    if isinstance(chosen, bool):
        return list(PARTS) if chosen else []
    names = [chosen] if isinstance(chosen, str) else list(chosen)
    for name in names:
        if name not in PARTS:
            valid = f'true, false, or parts of the segmentor ({", ".join(PARTS)})'
            raise ConfigError('model.compile', f"must be {valid}, got '{name}'{nearest(name, PARTS)}")
    return names


def compile_parts(segmentor: nn.Module, device: torch.device, names: Sequence[str] = PARTS) -> None:
    """Compile parts in place for training; the weights keep their names.

    Without gradients, parts run uncompiled: images to evaluate have many sizes, for which torch would compile several
    times, and a size that does not fit a backbone would make it give up. What torch cannot compile runs uncompiled,
    and one line reports it. Without a compiler, nothing is compiled.

    Args:
        segmentor: an mmseg segmentor.
        device: where it will run; determines which compiler torch needs.
        names: of the parts.

    Raises:
        ConfigError: if the segmentor has none of the parts, or its `cannot_compile` gives a reason.
    """
    if reason := getattr(segmentor, 'cannot_compile', ''):
        raise ConfigError('model.compile', f'must be false: {reason}')
    parts = [part for name in names for part in _modules(segmentor, name)]
    if not parts:
        own = [name for name in PARTS if any(_modules(segmentor, name))]
        raise ConfigError('model.compile', f'the model has no {" or ".join(names)}; choose from {", ".join(own)}')
    missing = _missing_compiler(device)
    if missing:
        rank_zero_warn(f'model.compile is ignored: {missing}')
        return
    torch._dynamo.config.suppress_errors = True
    if 'TORCH_LOGS' not in os.environ:  # set to see torch's full logs
        for logger in _LOGGERS:
            logging.getLogger(logger).addFilter(_in_one_line)
    for part in parts:
        if not isinstance(part.forward, _InTraining):  # a trainer may fit twice
            part.forward = _InTraining(part.forward)


def _modules(segmentor: nn.Module, name: str) -> Iterator[nn.Module]:
    """Yield the modules of a part; a cascade and several auxiliary heads have more than one."""
    part = getattr(segmentor, name, None)
    for each in part if isinstance(part, nn.ModuleList) else [part]:
        if isinstance(each, nn.Module):
            yield each


class _InTraining:
    """The `forward` of a part, compiled where gradients are recorded; `__call__` of some heads would bypass it.

    Args:
        forward: the bound method.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.plain = forward
        self.compiled = torch.compile(forward)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        return (self.compiled if torch.is_grad_enabled() else self.plain)(*inputs, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the method alone, so that a copied part calls itself."""
        return _InTraining, (self.plain,)


def _missing_compiler(device: torch.device) -> str | None:
    """Return what torch lacks to compile for a device, None if nothing; torch itself looks only in the first step."""
    if device.type != 'cpu':
        from torch.utils._triton import has_triton

        return None if has_triton() else f'torch.compile needs triton, which does not work here for {device.type}'
    from torch._inductor.cpp_builder import get_cpp_compiler  # imported late: it takes a second

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        return f'torch.compile needs a C++ compiler: g++, or the one named by CXX ({one_line(error)})'
    return None


def _in_one_line(record: logging.LogRecord) -> bool:
    """Reduce a log record to what could not be compiled and why, without tracebacks; a filter for `logging`."""
    failed = one_line(record.getMessage().partition('due to:')[0])
    error = record.exc_info[1] if record.exc_info else None
    reason = ' '.join(str(error or '').splitlines()[:2])  # which backend raised, and its error
    record.msg, record.args, record.exc_info = one_line(f'{failed}: {reason}' if reason else failed), (), None
    return True
