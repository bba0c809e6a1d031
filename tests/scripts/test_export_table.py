"""`scripts/bench/export.py` exports each model once and lists what works."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_SEGMENTOR

from seglight.models import Segmentor

pytest.importorskip('onnxruntime')
pytestmark = [pytest.mark.extras, pytest.mark.slow]

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'bench' / 'export.py'


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, by a name that its processes find."""
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location('export_table', SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, 'export_table', module)
    spec.loader.exec_module(module)
    return module


DRIVER = """
import sys
import export
export.OTHERS = {'tiny': %r, 'bad': %r}
export.main()
"""


def test_a_table_goes_on_where_it_stopped(table: Any, tmp_path: Path) -> None:
    neck = {'type': 'FPN', 'in_channels': [1], 'out_channels': 1, 'num_outs': 1}
    code = DRIVER % (TINY_SEGMENTOR, {**TINY_SEGMENTOR, 'neck': neck})

    def run() -> str:
        # A process of its own: the script forks, which the threads of earlier tests would not survive.
        words = [sys.executable, '-c', code, str(tmp_path / 'a.csv'), '--models', 'tiny', 'bad']
        path = os.pathsep.join(map(str, (SCRIPT.parent, SCRIPT.parents[2])))
        return subprocess.run(
            words, env={**os.environ, 'PYTHONPATH': path}, capture_output=True, text=True, check=True
        ).stdout

    run()
    tiny, bad = [table.Row(**row) for row in table.model_rows.read(tmp_path / 'a.csv')]
    assert (tiny.images, tiny.torch, tiny.onnx, tiny.openvino, tiny.reason) == ('any', '100 %', '100 %', '100 %', '')
    weights = 4 * sum(each.numel() for each in Segmentor(TINY_SEGMENTOR, table.CLASSES).parameters()) / 1e6
    assert weights < float(tiny.torch_mb) + 0.05 < weights + 1  # megabytes have one decimal
    for megabytes in (tiny.onnx_mb, tiny.openvino_mb):  # they lack the auxiliary head, and have graph and text
        assert 0.9 * weights < float(megabytes) < weights + 1
    assert (bad.torch, bad.onnx, bad.openvino) == ('', '', '') and bad.reason
    text = (tmp_path / 'a.csv').read_text()
    assert run() == ''
    assert (tmp_path / 'a.csv').read_text() == text


def test_every_family_has_one_model(table: Any) -> None:
    assert len(table.smallest()) == 45
    assert table.smallest()['segformer'].startswith('segformer/segformer_mit-b0')
