"""Columns in the cache: mapped, shared, and made anew when they are damaged or from something else."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from seglight.data import column_files
from seglight.data.column_files import Array, Columns, cached, cached_path, load

TYPES = {'a': '<i8', 'b': '|u1'}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    column_files._warn.cache_clear()
    return tmp_path


class Maker:
    """Makes columns and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, Array]:
        self.count += 1
        return {'a': np.arange(5, dtype=np.int64), 'b': np.frombuffer(b'xyz', np.uint8)}


def get(maker: Maker, key: str = 'key') -> Columns:
    return cached('name', key, TYPES, lambda columns: len(columns['a']) == 5, maker)


def test_columns_are_made_once_for_each_key() -> None:
    maker = Maker()
    for key, count in (('one', 1), ('one', 1), ('two', 2), ('', 3), ('', 4)):
        columns = get(maker, key)
        assert columns['a'].tolist() == [0, 1, 2, 3, 4]
        assert columns['b'].tobytes() == b'xyz'
        assert maker.count == count
    assert len(list(cached_path('name').parent.iterdir())) == 1


def test_a_file_with_any_byte_changed_or_cut_off_raises_nothing() -> None:
    maker = Maker()
    get(maker)
    path = cached_path('name')
    data = path.read_bytes()
    for index in range(0, len(data), 3):
        for damaged in (data[:index] + bytes([data[index] ^ 0x35]) + data[index + 1 :], data[:index]):
            path.write_bytes(damaged)
            found = load(path, 'key', TYPES)
            assert found is None or {name: found[name].dtype.str for name in TYPES} == TYPES
    path.write_bytes(data[:100])
    assert get(maker)['a'].tolist() == [0, 1, 2, 3, 4]
    assert (maker.count, path.read_bytes()) == (2, data)


def test_objects_are_never_unpickled() -> None:
    path = cached_path('name')
    path.parent.mkdir(parents=True)
    with path.open('wb') as file:
        np.lib.format.write_array(file, column_files._text('key'))
        file.write(b'\0' * (-file.tell() % 64))
        np.lib.format.write_array(file, np.array([print], dtype=object), allow_pickle=True)
    assert load(path, 'key', {'a': '<i8'}) is None
    assert load(path, 'key', {'a': '|O'}) is None


def test_a_folder_that_cannot_be_written_is_reported_once(cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (cache / 'seglight').write_text('a file in the way')
    maker = Maker()
    for _ in range(2):
        assert get(maker)['a'].tolist() == [0, 1, 2, 3, 4]
    assert maker.count == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('seglight: warning: the lists of the data are not kept for the next start: cannot write')


def test_a_copy_for_another_process_maps_the_file() -> None:
    columns = get(Maker())
    copied = pickle.dumps(columns)
    assert len(copied) < 1000
    assert pickle.loads(copied)['a'].tolist() == [0, 1, 2, 3, 4]
    cached_path('name').unlink()
    assert pickle.loads(pickle.dumps(columns))['a'].tolist() == [0, 1, 2, 3, 4]
