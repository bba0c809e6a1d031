"""Tables of metrics: aligned for wide letters, and no wider than the terminal."""

import io

import pytest
from rich.console import Console

from seglight.callbacks.console import class_table, metrics_table
from seglight.terminal import cell_width

METRICS = {'val/IoU.도로': 0.5, 'val/IoU.traffic sign': 0.25, 'val/mIoU': 0.375}


def test_figures_of_classes_with_wide_letters_are_below_each_other() -> None:
    lines = metrics_table(METRICS, 'val').splitlines()
    assert lines == ['  도로           50.00 %', '  traffic sign   25.00 %', '  mIoU           37.50 %']
    assert {cell_width(line) for line in lines} == {24}


@pytest.mark.parametrize(('width', 'pairs'), [(40, 1), (60, 2), (200, 3)])
def test_many_classes_take_as_many_columns_as_fit(width: int, pairs: int) -> None:
    metrics = {f'val/IoU.class number {index:02}': index / 100 for index in range(45)}
    table = class_table(metrics, 'val', width)
    assert len(table.columns) == 2 * pairs
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(f'class number {index:02}   ' in text and f'{index:.2f}' in text for index in range(45))
    assert '…' not in text
