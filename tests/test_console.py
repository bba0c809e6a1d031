"""Lines of a run have their texts below each other."""

from pathlib import Path

from seglight.console import labelled


def test_texts_begin_in_one_column() -> None:
    assert labelled('Run', Path('work_dirs/exp1')) == 'Run        work_dirs/exp1'
    assert labelled('Left out', 'it') == 'Left out   it'
