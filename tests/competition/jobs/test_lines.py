"""Lines of a file that grows."""

from pathlib import Path

from seglight.competition.jobs.lines import Lines


def test_only_new_and_whole_lines_are_shown(tmp_path: Path) -> None:
    log = tmp_path / 'log'
    log.write_text('before\n')
    shown: list[str] = []
    lines = Lines(log, shown.append)
    lines.read()
    with log.open('a') as file:
        file.write('  mIoU  1.0 %\r\n\nhalf')
    lines.read()
    assert (shown, lines.last) == (['  mIoU  1.0 %', ''], 'mIoU  1.0 %')
    with log.open('ab') as binary:
        binary.write(b' a line \xff\n')
    lines.read()
    assert shown[2:] == ['half a line \ufffd']
    lines.read()
    assert len(shown) == 3


def test_a_file_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    shown: list[str] = []
    lines = Lines(tmp_path / 'later', shown.append)
    lines.read()
    (tmp_path / 'later').write_text('now\n')
    lines.read()
    assert shown == ['now']
