"""An optimizer takes its state from a checkpoint, and its settings from the config in force."""

from typing import Any

import pytest
import torch
from torch import nn

from seglight.errors import CheckpointError
from seglight.models.optimizer_state import keep_settings


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def optimizer(of: nn.Module, groups: list[list[str]], kind: Any = torch.optim.AdamW, **options: Any) -> Any:
    named = dict(of.named_parameters())
    built = kind([{'params': [named[name] for name in names]} for names in groups], lr=0.1, **options)
    keep_settings(built, of)
    return built


def trained(groups: list[list[str]], **options: Any) -> dict[str, Any]:
    module = model()
    built = optimizer(module, groups, **options)
    for _ in range(3):
        module(torch.rand(4, 3)).square().sum().backward()
        built.step()
    state: dict[str, Any] = built.state_dict()
    return state


NAMES = ['0.weight', '0.bias', '1.weight', '1.bias']


def test_settings_are_those_of_the_config_and_the_state_that_of_the_checkpoint() -> None:
    stored = trained([NAMES], weight_decay=0.05)
    module = model()
    built = optimizer(module, [NAMES], weight_decay=0.2, betas=(0.8, 0.9))
    built.load_state_dict(stored)
    assert built.param_groups[0]['weight_decay'] == 0.2
    assert built.param_groups[0]['betas'] == (0.8, 0.9)
    for name, parameter in module.named_parameters():
        assert torch.equal(built.state[parameter]['exp_avg'], stored['state'][NAMES.index(name)]['exp_avg'])


def test_a_parameter_finds_its_state_in_other_groups() -> None:
    stored = trained([NAMES])
    module = model()
    built = optimizer(module, [NAMES[2:], NAMES[:2]])  # 0.bias and 1.weight have one shape
    built.load_state_dict(stored)
    for name, parameter in module.named_parameters():
        assert torch.equal(built.state[parameter]['exp_avg'], stored['state'][NAMES.index(name)]['exp_avg'])


def test_another_kind_of_optimizer_starts_anew_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    module = model()
    built = optimizer(module, [NAMES], torch.optim.SGD, momentum=0.9)
    built.load_state_dict(trained([NAMES]))
    assert not built.state
    assert 'the checkpoint has the state of AdamW, model.optimizer is SGD' in capsys.readouterr().err


def test_an_old_checkpoint_without_names_is_taken_by_position_or_refused() -> None:
    stored = trained([NAMES[:1], NAMES[1:]])
    for group in stored['param_groups']:
        del group['param_names']
    module = model()
    optimizer(module, [NAMES[:1], NAMES[1:]]).load_state_dict(stored)
    with pytest.raises(CheckpointError, match='other groups of parameters'):
        optimizer(module, [NAMES]).load_state_dict(stored)


@pytest.mark.parametrize(
    ('kind', 'settings', 'entry'),
    [
        (torch.optim.AdamW, {'amsgrad': True}, 'max_exp_avg_sq'),
        (torch.optim.RMSprop, {'centered': True}, 'grad_avg'),
        (torch.optim.RMSprop, {'momentum': 0.9}, 'momentum_buffer'),
        (torch.optim.SGD, {'momentum': 0.9}, 'momentum_buffer'),
    ],
)
def test_a_setting_that_is_switched_on_finds_a_state_of_its_own(
    kind: Any, settings: dict[str, Any], entry: str
) -> None:
    module = model()
    built = optimizer(module, [NAMES], kind, **settings)
    built.load_state_dict(trained([NAMES], kind=kind))
    module(torch.rand(4, 3)).square().sum().backward()
    built.step()
    for parameter in module.parameters():
        assert built.state[parameter][entry].abs().sum() > 0
