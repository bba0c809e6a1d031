"""Lines of a run have their texts below each other."""

from pathlib import Path

import pytest

from seglight.console import aligned, labelled, program


def test_texts_begin_in_one_column() -> None:
    assert labelled('Run', Path('work_dirs/exp1')) == 'Run        work_dirs/exp1'
    assert labelled('Left out', 'it') == 'Left out   it'


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [['', 'mIoU'], ['background', '7'], ['cat', '']]
    assert aligned(rows, right=[1]) == ['            mIoU', 'background     7', 'cat']
    assert aligned([['a', 'bc'], ['de', 'f']], right=[], gap=' | ') == ['a  | bc', 'de | f']


def test_commands_begin_as_the_user_typed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SEGLIGHT_COMMAND', 'scripts/seglight')
    assert program() == 'scripts/seglight'
    monkeypatch.delenv('SEGLIGHT_COMMAND')
    assert program() == 'python -m seglight'
