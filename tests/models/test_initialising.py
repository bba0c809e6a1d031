"""Models built only to load the weights of a checkpoint."""

import copy
from typing import Any

import pytest
import torch
from conftest import TINY_SEGMENTOR
from parity.architectures import ARCHITECTURES

from seglight.errors import ConfigError
from seglight.models import Segmentor
from seglight.models.initialising import only_loading
from seglight.models.recipe import Recipe


@pytest.mark.parametrize('name', ARCHITECTURES)
def test_a_model_without_initial_weights_predicts_as_one_with_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninitialised memory is NaN here, so that any tensor that the weights do not replace would show."""
    recipe = Recipe({**copy.deepcopy(ARCHITECTURES[name]), 'test_cfg': {'mode': 'whole'}}).for_data(5)
    expected = recipe.build().eval()
    monkeypatch.setattr(torch.utils.deterministic, 'fill_uninitialized_memory', True)
    torch.use_deterministic_algorithms(True)
    try:
        with only_loading():
            built = recipe.build().eval()
    finally:
        torch.use_deterministic_algorithms(False)
    assert any(parameter.isnan().any() for parameter in built.parameters())
    built.load_state_dict(expected.state_dict())
    for (key, one), (_, other) in zip(built.named_buffers(), expected.named_buffers(), strict=True):
        assert torch.equal(one, other), key
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(built.encode_decode(image, [{}]), expected.encode_decode(image, [{}]))


def wrong(**arguments: Any) -> dict[str, Any]:
    """Arguments of a segmentor, one of them wrong for training."""
    return {'segmentor': copy.deepcopy(TINY_SEGMENTOR), 'classes': ['a', 'b'], **arguments}


def test_settings_for_training_are_checked_only_for_training() -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model['decode_head']['loss_decode']['loss_weight'] = -1.0
    for arguments in (wrong(optimizer={'type': 'Sdg'}), wrong(schedule={'policy': 'polly'}), wrong(segmentor=model)):
        with pytest.raises(ConfigError):
            Segmentor(**arguments)
        with only_loading():
            Segmentor(**arguments)
    with pytest.raises(ConfigError):  # the checks are back after the block
        Segmentor(**wrong(optimizer={'type': 'Sdg'}))
