"""What cannot be exported is refused before a checkpoint is read."""

import pytest
import torch

from seglight.errors import UsageError
from seglight.exporting.wanted import Wanted, check


@pytest.mark.parametrize('version', ['2.6.0+cu124', '2.8.1'])
def test_a_torch_that_cannot_trace_is_one_line(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, '__version__', version)
    with pytest.raises(UsageError) as caught:
        check(Wanted('torch'))
    cure = "run: pip install 'torch>=2.9,<2.16' torchvision"
    assert str(caught.value) == f'export: torch must be >=2.9, got {version}; {cure}'


@pytest.mark.parametrize('version', ['2.9.0+cpu', '2.10.0', '2.15.0+cu132'])
def test_a_newer_torch_exports(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, '__version__', version)
    check(Wanted('torch'))
