"""Writing files and claiming run folders."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seglight import files


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'in' / 'a.bin'
    files.write_atomically(path, b'old')
    assert path.read_bytes() == b'old'

    def fail(*_: object) -> None:
        raise OSError('disk full')

    monkeypatch.setattr(Path, 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        files.write_atomically(path, b'new')
    assert path.read_bytes() == b'old'
    assert list(path.parent.iterdir()) == [path]


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    files.write_atomically(tmp_path / 'a', b'')
    (tmp_path / 'b').touch()
    assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'b').stat().st_mode


def test_lines_that_several_write_at_once_are_there_once(tmp_path: Path) -> None:
    path = tmp_path / 'list.txt'
    with ThreadPoolExecutor(8) as pool:
        new = list(pool.map(lambda number: files.append_once(path, f'line {number % 10}'), range(200)))
    assert sorted(path.read_text().splitlines()) == [f'line {number}' for number in range(10)]
    assert sum(new) == 10
    assert files.append_once(path, 'line')  # the beginning of another is no line
    assert not files.append_once(path, 'line')
    assert files.append_once(path, 'line', 'other', 'line 3', 'other')
    assert path.read_text().splitlines()[10:] == ['line', 'other']


def test_a_list_in_a_folder_that_is_gone_takes_every_line_for_new(tmp_path: Path) -> None:
    assert files.append_once(tmp_path / 'gone/list.txt', 'line')
    assert list(tmp_path.iterdir()) == []


def test_run_folders_are_numbered_from_the_highest(tmp_path: Path) -> None:
    for name in ('exp2', 'exp10', 'experiment', 'exp_old'):
        (tmp_path / name).mkdir()
    assert files.claim_run_folder(tmp_path).name == 'exp11'


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: files.claim_run_folder(tmp_path / 'w'), range(32)))
    assert sorted(folder.name for folder in folders) == sorted(f'exp{number}' for number in range(1, 33))


def test_what_is_there_is_not_overwritten_and_the_same_again_is_no_fault(tmp_path: Path) -> None:
    files.write_new({tmp_path / 'a': b'1', tmp_path / 'b': b'2'})
    files.write_new({tmp_path / 'a': b'1', tmp_path / 'b': b'2'})
    with pytest.raises(FileExistsError, match='with other content'):
        files.write_new({tmp_path / 'c': b'3', tmp_path / 'a': b'other'})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {'a': b'1', 'b': b'2'}


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ('x' * 251 + '.png')
    files.write_atomically(path, b'whole')
    assert path.read_bytes() == b'whole'


def test_the_umask_is_never_changed(tmp_path: Path) -> None:
    """Set from several threads, it would end up as what another thread had set in between."""
    before = os.umask(0o077)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: files.write_atomically(tmp_path / str(number % 4), b''), range(400)))
        after = os.umask(0o077)
    finally:
        os.umask(before)
    assert after == 0o077
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with files.made_atomically(tmp_path / 'whole') as folder:
        (folder / 'a').touch()
        assert not (tmp_path / 'whole').exists()
    with pytest.raises(ValueError), files.made_atomically(tmp_path / 'half') as folder:
        (folder / 'a').touch()
        raise ValueError
    assert [path.name for path in tmp_path.iterdir()] == ['whole']


@pytest.mark.parametrize('possible', ['symlink', 'hardlink', 'copy'])
def test_a_file_gets_a_second_name_on_every_file_system(
    possible: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError('A required privilege is not held by the client')

    if possible != 'symlink':
        monkeypatch.setattr(Path, 'symlink_to', refuse)
    if possible == 'copy':
        monkeypatch.setattr(Path, 'hardlink_to', refuse)
    for number in (1, 2):
        (tmp_path / f'{number}.ckpt').write_bytes(bytes([number]))
        files.link(tmp_path / 'last.ckpt', Path(f'{number}.ckpt'))
        assert (tmp_path / 'last.ckpt').read_bytes() == bytes([number])
    assert (tmp_path / 'last.ckpt').is_symlink() == (possible == 'symlink')
    assert len(list(tmp_path.iterdir())) == 3


def test_rows_are_csv_with_line_feeds_and_quotes_where_needed() -> None:
    assert files.csv_text([['image', 'group'], ['a, b', 1]]) == 'image,group\n"a, b",1\n'
