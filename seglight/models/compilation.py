"""torch.compile for the parts of a segmentor."""

from __future__ import annotations

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import nn

#: The parts of mmseg's segmentors that are called as a whole; the rest of a step is no single call.
PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')


def compile_parts(segmentor: nn.Module) -> None:
    """Let torch compile the backbone, the neck and each head, in place, so that the weights keep their names.

    What torch cannot compile runs as it is, with a warning from torch.
    """
    torch._dynamo.config.suppress_errors = True
    for name in PARTS:
        part = getattr(segmentor, name, None)
        for each in part if isinstance(part, nn.ModuleList) else [part]:
            if isinstance(each, nn.Module):
                try:
                    each.compile()
                except RuntimeError as error:  # a platform without a compiler
                    rank_zero_warn(f'torch.compile is not available, training goes on without it: {error}')
                    return
