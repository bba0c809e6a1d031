"""EoMT's probabilities are numbers while a graph is traced, and a buffer before and after."""

import pytest
import torch
from torch import nn

from seglight.exporting.tracing.probabilities import known_probabilities


class Block(nn.Module):
    """A module with EoMT's buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer('attn_mask_probs', torch.tensor([1.0, 0.0]))


def test_probabilities_are_numbers_within() -> None:
    module = nn.Sequential(Block(), nn.Linear(1, 1))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with known_probabilities(module):
        assert module[0].attn_mask_probs == [1.0, 0.0]
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(after[name].equal(value) for name, value in before.items())


def test_an_error_gives_the_buffer_back() -> None:
    module = Block()
    with pytest.raises(ZeroDivisionError), known_probabilities(module):
        raise ZeroDivisionError
    assert torch.equal(module.get_buffer('attn_mask_probs'), torch.tensor([1.0, 0.0]))
