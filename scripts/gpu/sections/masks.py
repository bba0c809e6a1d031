"""Predicted masks on the device and on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial

import torch

from gpu.attempts import attempt
from gpu.lab import CLASSES, Lab, float32, moved
from gpu.results import RIGHT, Row
from seglight.batch import Batch
from seglight.models import Segmentor

MODELS = ('segformer_b0', 'pspnet_r50', 'upernet_swin')
DTYPES = {'bfloat16': torch.bfloat16, 'float16': torch.float16}

#: Minimum share of equal pixels in float32; classes with nearly the same score may swap.
EQUAL = 0.999


def masks(lab: Lab, argument: str = '') -> Iterator[Row]:
    """Yield a row for each model."""
    del argument
    batch = lab.batch(2, 64 if lab.tiny else 256)
    for name in MODELS[:1] if lab.tiny else MODELS:
        yield from attempt({'model': name}, partial(_rows, lab, name, batch))
        lab.tidy()


def _rows(lab: Lab, name: str, batch: Batch) -> Iterator[Row]:
    torch.manual_seed(0)
    module = Segmentor(lab.model(name), CLASSES).eval()
    expected = predicted(module, batch)
    moved_module, on_device = copy.deepcopy(module).to(lab.device), moved(batch, lab.device)
    with float32(precise=True):
        share = equal(expected, predicted(moved_module, on_device))
    row: Row = {'model': name, 'equal pixels in float32': share, RIGHT: share >= EQUAL}
    for dtype_name, dtype in DTYPES.items():
        with torch.autocast(lab.device, dtype):
            row[f'equal pixels in {dtype_name}'] = equal(expected, predicted(moved_module, on_device))
    yield row


@torch.inference_mode()
def predicted(module: Segmentor, batch: Batch) -> torch.Tensor:
    """Return the masks of a batch."""
    return torch.stack([each.mask.cpu() for each in module.predict(batch)])


def equal(expected: torch.Tensor, found: torch.Tensor) -> float:
    """Return the share of equal pixels."""
    return (expected == found).double().mean().item()
