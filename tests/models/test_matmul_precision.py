"""The precision of matrix products is set for a stage, and restored."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from conftest import Result

from seglight.models.matmul_precision import ChosenMatmulPrecision


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_the_precision_is_set_and_restored() -> None:
    torch.set_float32_matmul_precision('medium')
    chosen = ChosenMatmulPrecision('high')
    for _ in range(2):  # Lightning may set a stage up twice
        chosen.set()
        assert torch.get_float32_matmul_precision() == 'high'
    chosen.restore()
    assert torch.get_float32_matmul_precision() == 'medium'


def test_without_a_choice_torchs_setting_stays() -> None:
    torch.set_float32_matmul_precision('medium')
    chosen = ChosenMatmulPrecision(None)
    chosen.set()
    chosen.restore()
    assert torch.get_float32_matmul_precision() == 'medium'


def test_a_run_uses_it(tiny_config: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    monkeypatch.setattr(torch, 'set_float32_matmul_precision', called.append)
    arguments = ('--trainer.max_epochs=1', '--model.matmul_precision=high')
    result = run('fit', '--config', tiny_config, *arguments)
    assert result.status == 0, result.err
    assert called == ['high', 'highest']


def test_an_unknown_precision_is_one_line(tiny_config: Path, run: Callable[..., Result]) -> None:
    result = run('fit', '--config', tiny_config, '--model.matmul_precision=hihg')
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert 'matmul_precision' in result.err
    assert "'highest', 'high', 'medium'" in result.err
