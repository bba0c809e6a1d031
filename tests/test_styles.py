"""Which parts of the lines are bold or coloured."""

import pytest

from seglight import styles


def shown(spans: object) -> list[tuple[str, str]]:
    return [span for span in spans if span[0]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ('message', 'cure'),
    [
        ("unknown option '--confg x'; did you mean '--config'?", "did you mean '--config'?"),
        ('data.batch_size must be at least 1, got 0', 'must be at least 1'),
        ('a.yaml:3: trainer.max_time must be above 0, got 0; omit it', 'omit it'),
        ('a; b; remove it', 'remove it'),
        ('the file is damaged', ''),
    ],
)
def test_the_cure_of_an_error_is_bold(message: str, cure: str) -> None:
    spans = shown(styles.of_error(message))
    assert ''.join(text for text, _ in spans) == f'seglight: {message}'
    assert [text for text, style in spans[1:] if style] == ([cure] if cure else [])
    assert spans[0] == ('seglight: ', 'bold red')


def test_labels_and_means_of_lines_stand_out() -> None:
    text = '  road  50.00 %\n  mIoU  43.21 %\nRun        work_dirs/exp1\nSubmission a.csv\nW&B        x\nAll files are in x\nkey:       1'
    spans = shown(styles.of_lines(text))
    assert ''.join(part for part, _ in spans) == text
    assert [part.strip() for part, style in spans if style] == ['mIoU  43.21 %', 'Run', 'Submission', 'W&B']


def test_a_warning_starts_in_yellow() -> None:
    assert shown(styles.of_warning('x')) == [('seglight: warning: ', 'bold yellow'), ('x', '')]
