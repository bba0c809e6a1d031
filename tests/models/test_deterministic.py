"""Parts that a GPU can differentiate deterministically; `stories/test_deterministic.py` trains with them."""

import copy

import pytest
import torch
from torch import nn

from seglight.models.deterministic import DeterministicPool, make_deterministic


@pytest.mark.parametrize('size', [1, 2, 3, 6, (2, 5), (None, 3)])
@pytest.mark.parametrize('shape', [(2, 4, 13, 20), (1, 3, 6, 6), (4, 5, 3)])
def test_the_means_and_their_gradients_are_torchs(size: int | tuple[int | None, int | None], shape: list[int]) -> None:
    torch.manual_seed(0)
    image = torch.randn(shape, requires_grad=True)
    expected, own = nn.AdaptiveAvgPool2d(size)(image), DeterministicPool(size)(image)
    torch.testing.assert_close(own, expected)
    direction = torch.randn_like(own)
    gradients = [torch.autograd.grad(each, image, direction)[0] for each in (own, expected)]
    torch.testing.assert_close(*gradients)


def test_a_part_keeps_its_place_and_a_checkpoint_its_names() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(3), nn.AdaptiveAvgPool2d(1))
    other = copy.deepcopy(module)
    make_deterministic(module)
    assert [type(part) for part in module] == [nn.Conv2d, DeterministicPool, nn.AdaptiveAvgPool2d]
    assert module.load_state_dict(other.state_dict())
