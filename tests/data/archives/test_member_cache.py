"""Members of remote archives are kept up to a limit, shared by processes, and what is damaged is not used."""

import multiprocessing
import os
from pathlib import Path

import pytest
from filelock import FileLock

from seglight.data.archives import member_cache
from seglight.data.archives.member_cache import MemberCache
from seglight.files import cache_dir


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    member_cache._warn.cache_clear()
    return cache_dir() / 'members'


def held(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob('??/*'))


def age(cache: MemberCache, key: str, time: int) -> None:
    os.utime(cache._path(key), (time, time))


def test_what_was_used_last_is_kept(folder: Path) -> None:
    cache = MemberCache(1000)
    for number in range(9):
        cache.keep(str(number), bytes([number]) * 96)  # and four bytes of checksum
        age(cache, str(number), number)
    assert held(folder) == 900
    assert cache.read('0') == bytes(96)  # which makes it the one used last
    cache.keep('new', b'n' * 196)
    assert [number for number in range(9) if cache.read(str(number))] == [0, 3, 4, 5, 6, 7, 8]
    assert cache.read('new') == b'n' * 196
    assert held(folder) == 900
    cache.keep('huge', bytes(1000))
    assert cache.read('huge') is None
    assert int((folder / '.size').read_text()) == 900


def test_what_is_damaged_is_not_used(folder: Path) -> None:
    cache = MemberCache(1000)
    cache.keep('a', b'content')
    assert cache.read('a') == b'content'
    (path,) = folder.glob('??/*')
    for data in (b'', path.read_bytes()[:-1], path.read_bytes()[:-1] + b'x'):
        path.write_bytes(data)
        assert cache.read('a') is None
    cache.keep('a', b'content')
    assert cache.read('a') == b'content'
    (folder / '.size').write_text('damaged')
    cache.keep('b', b'content')
    assert int((folder / '.size').read_text()) == held(folder) == 22


def test_a_folder_that_cannot_be_written_is_reported_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text('a file')
    for name in ('a', 'b'):
        MemberCache(1000).keep(name, b'content')
        assert MemberCache(1000).read(name) is None
    assert capfd.readouterr().err.count('are not kept in') == 1


def test_nothing_is_written_without_the_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(member_cache, '_PATIENCE', 0.01)
    folder.mkdir(parents=True)
    with FileLock(folder / '.lock'):
        MemberCache(1000).keep('a', b'content')
    assert held(folder) == 0
    assert 'it is locked' in capfd.readouterr().err


def keep_many(start: int) -> None:
    cache = MemberCache(5000)
    for number in range(start, start + 100):
        cache.keep(str(number), number.to_bytes(2, 'big') * 48)
        found = cache.read(str(number))
        assert found in (None, number.to_bytes(2, 'big') * 48)


def test_processes_share_it_and_its_limit(folder: Path) -> None:
    processes = [multiprocessing.Process(target=keep_many, args=(start,)) for start in (0, 50)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert 0 < held(folder) <= 5000 + 100  # one more may be written before room is made
    assert not list(folder.rglob('*.tmp'))
