"""An optimizer takes its state from a checkpoint, and its settings from the current config."""

import copy
import re
from collections.abc import Callable
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


@pytest.mark.parametrize('fused', [False, True])
@pytest.mark.parametrize('before', [torch.channels_last, torch.contiguous_format])
def test_a_state_takes_the_memory_format_of_the_parameters(before: torch.memory_format, fused: bool) -> None:
    after = torch.contiguous_format if before == torch.channels_last else torch.channels_last
    weights, gradients = torch.randn(3, 4, 5, 3, 3, generator=torch.Generator().manual_seed(0)).split([1, 2])

    def stepped(memory_format: torch.memory_format, state: dict[str, Any] | None) -> tuple[nn.Module, Any]:
        module = nn.Conv2d(5, 4, 3, bias=False)
        module.weight.data = weights[0].clone(memory_format=memory_format)
        built = optimizer(module, [['weight']], fused=fused)
        if state:
            built.load_state_dict(state)
        module.weight.grad = gradients[0 if state is None else 1].clone(memory_format=memory_format)
        built.step()
        return module, built.state_dict()

    same, other = (stepped(each, stepped(before, None)[1])[0] for each in (before, after))
    torch.testing.assert_close(other.weight, same.weight)


def test_a_parameter_finds_its_state_in_other_groups() -> None:
    stored = trained([NAMES])
    module = model()
    built = optimizer(module, [NAMES[2:], NAMES[:2]])  # 0.bias and 1.weight have the same shape
    built.load_state_dict(stored)
    for name, parameter in module.named_parameters():
        assert torch.equal(built.state[parameter]['exp_avg'], stored['state'][NAMES.index(name)]['exp_avg'])


def test_another_class_of_optimizer_starts_anew_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    module = model()
    built = optimizer(module, [NAMES], torch.optim.SGD, momentum=0.9)
    built.load_state_dict(trained([NAMES]))
    assert not built.state
    assert 'the checkpoint has the state of AdamW, but model.optimizer is SGD' in capsys.readouterr().err


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    'a moment of another shape': (
        lambda stored: stored['state'][1].update(exp_avg=torch.zeros(7)),
        "exp_avg of '0.bias' must have the shape [3], got [7]",
    ),
    'a moment that is none': (
        lambda stored: stored['state'][0].update(exp_avg_sq='x'),
        "exp_avg_sq of '0.weight' must have the shape [3, 3], got str",
    ),
    'a step that is a vector': (
        lambda stored: stored['state'][0].update(step=torch.zeros(3)),
        "step of '0.weight' must be a number",
    ),
    'a state that is a list': (lambda stored: stored['state'].update({0: []}), "the state of '0.weight' must be a dict"),
    'more names than parameters': (
        lambda stored: stored['param_groups'][0]['param_names'].append('x'),
        'a group must have as many names as parameters',
    ),
    'names that are lists': (
        lambda stored: stored['param_groups'][0].update(param_names=[[], [], [], []]),
        'a group must have as many names as parameters',
    ),
    'a group without parameters': (lambda stored: stored['param_groups'].append({}), 'its groups must list parameters'),
    'a group that is a list': (lambda stored: stored['param_groups'].append([]), 'its groups must list parameters'),
    'a rate that is a text': (lambda stored: stored['param_groups'][0].update(lr='x'), 'a learning rate must be a number'),
}  # fmt: skip


@pytest.mark.parametrize('name', DAMAGE)
def test_a_damaged_state_is_refused_before_the_first_step(name: str) -> None:
    damage, text = DAMAGE[name]
    stored = trained([NAMES])
    damage(stored)
    with pytest.raises(CheckpointError, match=re.escape(text)) as caught:
        optimizer(model(), [NAMES]).load_state_dict(stored)
    assert '--load-from' in str(caught.value)


@pytest.mark.parametrize('kind', ['Adagrad', 'Adadelta', 'ASGD', 'Adamax', 'NAdam', 'RAdam', 'RMSprop', 'Rprop', 'SGD'])
def test_the_state_of_every_optimizer_is_loaded(kind: str) -> None:
    options = {'momentum': 0.9} if kind in ('SGD', 'RMSprop') else {}
    stored = trained([NAMES], kind=getattr(torch.optim, kind), **options)
    built = optimizer(model(), [NAMES], getattr(torch.optim, kind))
    built.load_state_dict(stored)
    assert len(built.state) == len(NAMES)


def test_an_old_checkpoint_without_names_is_matched_by_position_or_refused() -> None:
    stored = trained([NAMES[:1], NAMES[1:]])
    for group in stored['param_groups']:
        del group['param_names']
    module = model()
    optimizer(module, [NAMES[:1], NAMES[1:]]).load_state_dict(stored)
    with pytest.raises(CheckpointError, match='the parameter groups of the checkpoint differ'):
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
def test_a_setting_that_is_switched_on_has_a_state(kind: Any, settings: dict[str, Any], entry: str) -> None:
    module = model()
    built = optimizer(module, [NAMES], kind, **settings)
    built.load_state_dict(trained([NAMES], kind=kind))
    module(torch.rand(4, 3)).square().sum().backward()
    built.step()
    for parameter in module.parameters():
        assert built.state[parameter][entry].abs().sum() > 0


FUSED = [(torch.optim.AdamW, {}), (torch.optim.Adam, {'amsgrad': True}), (torch.optim.SGD, {'momentum': 0.9})]


def stepped(module: nn.Module, built: Any, steps: range) -> None:
    for step in steps:
        built.zero_grad()
        values = torch.rand(4, 3, generator=torch.Generator().manual_seed(step))
        (module(values) - values).square().sum().backward()
        built.step()


@pytest.mark.parametrize(('kind', 'options'), FUSED, ids=lambda value: getattr(value, '__name__', ''))
def test_a_fused_optimizer_resumes_bit_for_bit(kind: Any, options: dict[str, Any]) -> None:
    whole, before = model(), model()
    stepped(whole, optimizer(whole, [NAMES], kind, fused=True, **options), range(6))
    stopped = optimizer(before, [NAMES], kind, fused=True, **options)
    stepped(before, stopped, range(3))
    after = model()
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    resumed = optimizer(after, [NAMES], kind, fused=True, **options)
    resumed.load_state_dict(copy.deepcopy(stopped.state_dict()))
    stepped(after, resumed, range(3, 6))
    for own, other in zip(whole.parameters(), after.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(('kind', 'options'), FUSED, ids=lambda value: getattr(value, '__name__', ''))
@pytest.mark.parametrize('fused', [True, False])
def test_fused_may_change_when_a_run_resumes(fused: bool, kind: Any, options: dict[str, Any]) -> None:
    whole, after = model(), model()
    built = optimizer(whole, [NAMES], kind, fused=not fused, **options)
    stepped(whole, built, range(3))
    after.load_state_dict(copy.deepcopy(whole.state_dict()))
    resumed = optimizer(after, [NAMES], kind, fused=fused, **options)
    resumed.load_state_dict(copy.deepcopy(built.state_dict()))
    assert resumed.param_groups[0]['fused'] == fused
    stepped(whole, built, range(3, 6))
    stepped(after, resumed, range(3, 6))
    for (name, own), other in zip(whole.named_parameters(), after.parameters(), strict=True):
        if name != '0.bias':  # before BatchNorm its gradient is rounding, which Adam scales up
            torch.testing.assert_close(own, other)
