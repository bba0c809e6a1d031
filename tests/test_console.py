"""Lines of a run have their texts below each other."""

from pathlib import Path

import pytest

from seglight.console import aligned, labelled, program, tabulated


def test_texts_begin_in_one_column() -> None:
    assert labelled('Run', Path('work_dirs/exp1')) == 'Run        work_dirs/exp1'
    assert labelled('Left out', 'it') == 'Left out   it'


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [['', 'mIoU'], ['background', '7'], ['cat', '']]
    assert aligned(rows, right=[1]) == ['            mIoU', 'background     7', 'cat']
    assert aligned([['a', 'bc'], ['de', 'f']], right=[], gap=' | ') == ['a  | bc', 'de | f']


@pytest.mark.parametrize(
    ('room', 'expected'),
    [
        (24, ['  model   params  정확도', '  pspnet  49.0 M      78', '  fcn                 69']),
        (23, ['  model   params', '  pspnet  49.0 M', '    정확도  78', '  fcn', '    정확도  69']),
        (15, ['  model', '  pspnet', '    params  49.0 M', '    정확도  78', '  fcn', '    정확도  69']),
        (3, ['  model', '  pspnet', '    params  49.0 M', '    정확도  78', '  fcn', '    정확도  69']),
    ],
)
def test_columns_that_do_not_fit_go_below_their_row(
    room: int, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [['model', 'params', '정확도'], ['pspnet', '49.0 M', '78'], ['fcn', '', '69']]
    monkeypatch.setenv('COLUMNS', str(room))
    assert tabulated(rows, [1, 2], indent='  ') == [f'  {line}' for line in aligned(rows, [1, 2])]  # in a file
    monkeypatch.setattr('sys.stdout.isatty', lambda: True)
    assert tabulated(rows, [1, 2], indent='  ') == expected


def test_commands_begin_as_the_user_typed_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('SEGLIGHT_COMMAND', 'scripts/seglight')
    assert program() == 'scripts/seglight'
    monkeypatch.delenv('SEGLIGHT_COMMAND')
    assert program() == 'python -m seglight'
