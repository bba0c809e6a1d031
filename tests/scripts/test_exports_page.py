"""The page of exports is what its script makes of the CSVs next to it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'bench' / 'exports_page.py'


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    spec = importlib.util.spec_from_file_location('exports_page', SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_csvs(script: Any) -> None:
    assert script.PAGE.read_text() == script.page(script.read(script.EXPORTS), script.read(script.LATENCIES))


def test_a_table_names_what_is_missing_and_why(script: Any) -> None:
    share = {'torch': '100 %', 'torch_mb': '1.5', 'onnx': '', 'onnx_mb': '', 'openvino': '', 'openvino_mb': ''}
    rows = [
        {'family': 'smp Unet', 'model': '', 'images': '', **dict.fromkeys(share, ''), 'reason': 'a | b'},
        {'family': 'fcn', 'model': 'fcn/fcn_r18', 'images': 'any', **share, 'reason': 'no operator'},
    ]
    assert script.table(rows).splitlines()[2:] == [
        '| fcn | `fcn_r18` | any | 100 % | 1.5 | - | - | - | - | no operator |',
        '| smp Unet |  | - | - | - | - | - | - | - | a \\| b |',
    ]
    assert '1 of 2 for images of any size' in script.page(rows, [])


def test_a_table_of_latencies_has_a_dash_for_what_did_not_run(script: Any) -> None:
    times = {'million_parameters': '1.2', 'torch': '31', 'compile': '25', 'onnx': '', 'openvino': ''}
    rows = [{'family': 'fcn', 'model': 'fcn/fcn_r18', **times, 'reason': 'no operator'}]
    assert script.latency_table(rows).splitlines()[2:] == ['| fcn | `fcn_r18` | 1.2 | 31 | 25 | - | - | no operator |']
