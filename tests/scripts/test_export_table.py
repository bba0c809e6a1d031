"""`scripts/bench/export.py` exports each model once and lists what works."""

from __future__ import annotations

import copy
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_SEGMENTOR

pytest.importorskip('onnxruntime')
pytestmark = [pytest.mark.extras, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'bench' / 'export.py'


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, by a name that its processes find."""
    spec = importlib.util.spec_from_file_location('export_table', SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'export_table', module)
    spec.loader.exec_module(module)
    return module


def test_a_table_goes_on_where_it_stopped(
    table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    neck = {'type': 'FPN', 'in_channels': [1], 'out_channels': 1, 'num_outs': 1}
    monkeypatch.setattr(
        table, 'OTHERS', {'tiny': TINY_SEGMENTOR, 'bad': {**copy.deepcopy(TINY_SEGMENTOR), 'neck': neck}}
    )
    monkeypatch.setattr(sys, 'argv', ['export.py', str(tmp_path / 'a.csv'), '--models', 'tiny', 'bad'])
    table.main()
    tiny, bad = table.rows_of(tmp_path / 'a.csv')
    assert (tiny.images, tiny.torch, tiny.onnx, tiny.reason) == ('any', '100 %', '100 %', '')
    assert float(tiny.torch_mb) > 0.5 and float(tiny.onnx_mb) > 0.5
    assert (bad.torch, bad.onnx) == ('', '') and bad.reason
    text = (tmp_path / 'a.csv').read_text()
    capsys.readouterr()
    table.main()
    assert (tmp_path / 'a.csv').read_text() == text
    assert '| tiny | any | 100 % |' in capsys.readouterr().out


def test_every_family_has_one_model(table: Any) -> None:
    assert len(table.smallest()) == 45
    assert table.smallest()['segformer'].startswith('segformer/segformer_mit-b0')
