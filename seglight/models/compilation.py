"""torch.compile for the parts of a segmentor."""

from __future__ import annotations

import logging
import os

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

from seglight.errors import one_line

#: The parts of mmseg's segmentors to compile; a whole step is not a single module call.
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')

#: The torch loggers that report, with a traceback, what could not be compiled.
_LOGGERS = ('torch._dynamo.convert_frame', 'torch._functorch._aot_autograd.graph_compile')


def compile_parts(segmentor: nn.Module, device: torch.device) -> None:
    """Compile the backbone, the neck and each head in place, so that the weights keep their names.

    What torch cannot compile runs uncompiled, and one line reports it. Without a compiler, nothing is compiled.

    Args:
        segmentor: an mmseg segmentor.
        device: where it will run; determines which compiler torch needs.
    """
    missing = _missing_compiler(device)
    if missing:
        rank_zero_warn(f'model.compile is ignored: {missing}')
        return
    torch._dynamo.config.suppress_errors = True
    if 'TORCH_LOGS' not in os.environ:  # set to see torch's full logs
        for logger in _LOGGERS:
            logging.getLogger(logger).addFilter(_in_one_line)
    for name in PARTS:
        part = getattr(segmentor, name, None)
        for each in part if isinstance(part, nn.ModuleList) else [part]:
            if isinstance(each, nn.Module):
                each.compile()


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
