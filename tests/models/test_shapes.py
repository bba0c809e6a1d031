"""Running a module on shapes alone."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from seglight.models.shapes import NeedsValuesError, blank, on_shapes, without_values


def test_a_copy_without_values_gives_the_shapes_of_the_module_and_changes_nothing() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 2, 3, stride=2))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    random = torch.get_rng_state()
    shapes = without_values(module)
    with on_shapes():
        found = shapes(blank(2, 3, 1000, 500))
    assert found.shape == (2, 2, 498, 248)  # 1000 - 2, then (998 - 2) / 2
    assert {value.device.type for value in shapes.state_dict().values()} == {'meta'}
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_shared_parameters_stay_shared() -> None:
    module = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    module[1].weight = module[0].weight
    shapes = without_values(module)
    assert shapes[0].weight is shapes[1].weight


@pytest.mark.parametrize('reads', [torch.Tensor.item, torch.nonzero, torch.Tensor.tolist])
def test_code_that_reads_values_needs_the_module_itself(reads: object) -> None:
    with pytest.raises(NeedsValuesError), on_shapes():
        reads(blank(1))  # type: ignore[operator]


def test_an_error_about_shapes_stays_one() -> None:
    with pytest.raises(RuntimeError, match=r'Kernel size|negative dimension'), on_shapes():
        without_values(nn.Conv2d(3, 1, 5))(blank(1, 3, 2, 2))


def test_a_module_of_an_unknown_package_needs_itself() -> None:
    class Own(nn.Linear):
        """May read values without torch noticing."""

    with pytest.raises(NeedsValuesError, match='Own is of an unknown package'):
        without_values(nn.Sequential(nn.Linear(2, 2), Own(2, 2)))


def test_a_module_that_cannot_be_copied_needs_itself() -> None:
    module = nn.Linear(2, 2)
    module.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(NeedsValuesError, match='lock'):
        without_values(module)
