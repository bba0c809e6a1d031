"""The Lovász loss, compared with mmseg's own; `test_mmseg_losses` shows how it treats ignored pixels."""

from typing import Any

import pytest
import torch
from mmseg.models import losses as mmseg
from mmseg.models.builder import build_loss

import seglight.models.losses  # noqa: F401  (registers it)

WEIGHTS = [1.0, 2.0, 3.0, 4.0, 5.0]

CASES: list[dict[str, Any]] = [
    {'loss_type': 'binary', 'reduction': 'none'},
    {'loss_type': 'binary', 'per_image': True, 'loss_weight': 0.5},
    {'reduction': 'none', 'class_weight': WEIGHTS},
    {'reduction': 'none', 'classes': 'all', 'loss_weight': 0.5},
    {'reduction': 'none', 'classes': [1, 4], 'class_weight': WEIGHTS},
    {'per_image': True, 'class_weight': WEIGHTS},
    {'per_image': True, 'classes': 'all', 'reduction': 'sum'},
]


@pytest.mark.parametrize('arguments', CASES)
def test_values_and_gradients_are_mmsegs(arguments: dict[str, Any]) -> None:
    channels = 1 if 'loss_type' in arguments else 5
    generator = torch.Generator().manual_seed(channels)
    logits = torch.randn(3, channels, 6, 7, generator=generator, requires_grad=True)
    labels = torch.randint(0, max(2, channels - 1), (3, 6, 7), generator=generator)  # one class is absent
    labels[1] = labels[1].clamp(max=1)
    labels[:, :, :2] = 255
    expected = mmseg.LovaszLoss(**arguments)(logits, labels, ignore_index=255)
    own = build_loss({'type': 'LovaszLoss', **arguments})(logits, labels, ignore_index=255)
    torch.testing.assert_close(own, expected)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (own, expected)]
    torch.testing.assert_close(*gradients)
