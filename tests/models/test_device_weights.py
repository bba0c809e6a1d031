"""Class weights that stay on the device."""

import torch
from mmseg.models.builder import build_loss

import seglight.models.losses  # noqa: F401  (registers mmseg's losses again)
from seglight.models.device_weights import device_weights


def test_weights_move_with_the_loss_and_are_in_no_checkpoint() -> None:
    loss = build_loss({'type': 'CrossEntropyLoss', 'class_weight': [1.0, 2.0]})
    assert loss.class_weight == [1.0, 2.0]
    assert loss.state_dict() == {}
    logits = torch.zeros(1, dtype=torch.float64)
    weights = device_weights(loss, logits)
    assert weights is not None
    assert weights.tolist() == [1.0, 2.0]
    assert weights.dtype == torch.float64
    loss.to('meta')
    loss.class_weight = [3.0, 4.0]  # as when they are counted in the data
    moved = device_weights(loss, torch.zeros(1, device='meta'))
    assert moved is not None
    assert moved.device.type == 'meta'
    loss.class_weight = None
    assert device_weights(loss, logits) is None
