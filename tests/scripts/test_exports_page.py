"""The page of exports is what its script makes of the CSV next to it."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / 'scripts' / 'bench' / 'exports_page.py'


@pytest.fixture
def script() -> Any:
    spec = importlib.util.spec_from_file_location('exports_page', SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_csv(script: Any) -> None:
    assert script.PAGE.read_text() == script.page(script.read(script.CSV))


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
    assert '1 of 2 for images of any size' in script.page(rows)
