"""The sampler of hard pixels, compared with mmseg's own."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmseg.core.seg import build_pixel_sampler
from mmseg.core.seg.sampler.ohem_pixel_sampler import OHEMPixelSampler as MmsegSampler
from mmseg.models.losses import CrossEntropyLoss
from torch import nn

from seglight.models.hard_pixels import OHEMPixelSampler


def sample(ignored: float) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    labels = torch.randint(0, 4, (3, 1, 8, 9))
    labels[torch.rand(labels.shape) < ignored] = 255
    return torch.randn(3, 4, 8, 9), labels


@pytest.mark.parametrize('losses', [CrossEntropyLoss(), nn.ModuleList([CrossEntropyLoss(), CrossEntropyLoss()])])
@pytest.mark.parametrize('thresh', [None, 0.1, 0.4, 0.95])
@pytest.mark.parametrize('min_kept', [2, 20, 50, 1000])
@pytest.mark.parametrize('ignored', [0.0, 0.3, 0.99])
def test_it_selects_mmsegs_pixels(losses: nn.Module, thresh: float | None, min_kept: int, ignored: float) -> None:
    head = SimpleNamespace(ignore_index=255, loss_decode=losses)
    logits, labels = sample(ignored)
    expected = MmsegSampler(head, thresh, min_kept).sample(logits, labels)
    own = OHEMPixelSampler(head, thresh, min_kept).sample(logits, labels)
    assert own.dtype == expected.dtype
    assert torch.equal(own, expected)


@pytest.mark.parametrize('thresh', [None, 0.7])
def test_without_labelled_pixels_it_selects_none(thresh: float | None) -> None:
    head = SimpleNamespace(ignore_index=255, loss_decode=CrossEntropyLoss())
    logits, labels = sample(2.0)
    assert not OHEMPixelSampler(head, thresh, 10).sample(logits, labels).any()


def test_mmsegs_heads_get_it() -> None:
    config: dict[str, Any] = {'type': 'OHEMPixelSampler', 'thresh': 0.7}
    assert type(build_pixel_sampler(config, context=None)) is OHEMPixelSampler
