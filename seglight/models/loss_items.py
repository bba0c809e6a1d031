"""The items of the loss dict that mmseg's heads return."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

Items = dict[str, Tensor | list[Tensor]]

#: The prefix of each head's items in the loss dict, by the head's name in the segmentor.
PREFIXES = {'decode_head': 'decode', 'auxiliary_head': 'aux'}


def without_wrong_accuracy(items: Items, segmentor: nn.Module) -> Items:
    """Drop the accuracy of heads with one channel: mmseg takes the argmax over that channel, so always class 0.

    Args:
        items: from the segmentor's `forward_train`.
        segmentor: an mmseg segmentor.
    """
    wrong = tuple(f'{prefix}.acc_' for prefix, head in _heads(segmentor) if getattr(head, 'out_channels', 0) == 1)
    return {name: value for name, value in items.items() if not name.startswith(wrong)}


def mean(value: Tensor | list[Tensor]) -> Tensor:
    """Reduce an item as mmseg's `BaseSegmentor._parse_losses` does."""
    return value.mean() if isinstance(value, Tensor) else torch.stack([part.mean() for part in value]).sum()


def total(items: dict[str, Tensor]) -> Tensor:
    """Return the sum of the items that are losses."""
    return torch.stack([value for name, value in items.items() if 'loss' in name]).sum()


def _heads(segmentor: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield each head of a segmentor after the prefix of its items; heads in a list are numbered."""
    for name, prefix in PREFIXES.items():
        head = getattr(segmentor, name, None)
        if isinstance(head, nn.ModuleList):
            yield from ((f'{prefix}_{index}', each) for index, each in enumerate(head))
        elif head is not None:
            yield prefix, head
