"""torch.compile for the parts of a segmentor."""

from __future__ import annotations

import logging
import os

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

from seglight.errors import one_line

#: The parts of mmseg's segmentors that are called as a whole; the rest of a step is no single call.
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')

#: The loggers of torch that tell, with a traceback, what could not be compiled.
_LOGGERS = ('torch._dynamo.convert_frame', 'torch._functorch._aot_autograd.graph_compile')


def compile_parts(segmentor: nn.Module, device: torch.device) -> None:
    """Let torch compile the backbone, the neck and each head, in place, so that the weights keep their names.

    What torch cannot compile runs as it is, with a line from torch; without a compiler all of it does.

    Args:
        segmentor: of mmseg.
        device: where it is going to run, which says what compiler torch needs.
    """
    missing = _missing_compiler(device)
    if missing:
        rank_zero_warn(f'model.compile is left out: {missing}')
        return
    torch._dynamo.config.suppress_errors = True
    if 'TORCH_LOGS' not in os.environ:  # by which torch is asked for more
        for logger in _LOGGERS:
            logging.getLogger(logger).addFilter(_in_one_line)
    for name in PARTS:
        part = getattr(segmentor, name, None)
        for each in part if isinstance(part, nn.ModuleList) else [part]:
            if isinstance(each, nn.Module):
                each.compile()


def _missing_compiler(device: torch.device) -> str | None:
    """Return what torch lacks to compile for a device, for which it looks only in the first step; None if nothing."""
    if device.type != 'cpu':
        from torch.utils._triton import has_triton

        return None if has_triton() else f'torch.compile needs triton, which does not work here for {device.type}'
    from torch._inductor.cpp_builder import get_cpp_compiler  # late: it takes a second

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        return f'torch.compile needs a C++ compiler, such as g++, or the one that CXX names ({one_line(error)})'
    return None


def _in_one_line(record: logging.LogRecord) -> bool:
    """Reduce a record to what could not be compiled and why, without tracebacks; a filter of `logging`."""
    what = one_line(record.getMessage().partition('due to:')[0])
    error = record.exc_info[1] if record.exc_info else None
    reason = ' '.join(str(error or '').splitlines()[:2])  # that a backend raised, and what
    record.msg, record.args, record.exc_info = one_line(f'{what}: {reason}' if reason else what), (), None
    return True
