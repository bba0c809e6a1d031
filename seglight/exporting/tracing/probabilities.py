"""EoMT's probabilities that a block masks its attention, as numbers, which decide what is traced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_NAME = 'attn_mask_probs'


@contextmanager
def known_probabilities(module: nn.Module) -> Iterator[None]:
    """Let the parts of a module that are an EoMT of transformers have a list of floats instead of a buffer.

    torch traces buffers without their values. In a trained model each is 0 (no mask) or 1; between them transformers
    masks at random, and no file predicts what the checkpoint does.
    """
    parts = [each for each in module.modules() if _NAME in dict(each.named_buffers(recurse=False))]
    buffers = [each.get_buffer(_NAME) for each in parts]
    try:
        for part, buffer in zip(parts, buffers, strict=True):
            delattr(part, _NAME)
            setattr(part, _NAME, buffer.tolist())
        yield
    finally:
        for part, buffer in zip(parts, buffers, strict=True):
            delattr(part, _NAME)
            part.register_buffer(_NAME, buffer)
