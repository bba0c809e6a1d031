"""A zip means the same to Python's reader, which checks it, and to torch's; a bomb is refused before it expands."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing.zips import DEFLATED, Record, make_zip

from seglight.errors import CheckpointError
from seglight.weight_files import read_file

BOMB = 1 << 28


def records(value: Any, method: int = 0) -> list[Record]:
    """Return the records that `torch.save` writes for a value."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return [Record(info.filename, archive.read(info), method) for info in archive.infolist()]


def small(value: float = 1) -> list[Record]:
    return records({'state_dict': {'w': torch.full((3,), value)}})


def refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / 'a.pth'
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=rf'a\.pth {message}'):
        read_file(path)


def test_what_torch_saves_is_read_also_when_it_was_stored_again(tmp_path: Path) -> None:
    (tmp_path / 'a.pth').write_bytes(make_zip(small(2)))
    assert read_file(tmp_path / 'a.pth')['state_dict']['w'].tolist() == [2, 2, 2]
    with zipfile.ZipFile(tmp_path / 'b.pth', 'w') as archive:
        for record in small(3):
            archive.writestr(record.name, record.data)
    assert read_file(tmp_path / 'b.pth')['state_dict']['w'].tolist() == [3, 3, 3]


def test_a_directory_in_64_bits_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, 'ZIP_FILECOUNT_LIMIT', 1)  # as for a file of more than 4 GB
    with zipfile.ZipFile(tmp_path / 'a.pth', 'w') as archive:
        for record in small(4):
            archive.writestr(record.name, record.data)
    data = (tmp_path / 'a.pth').read_bytes()
    assert b'PK\6\6' in data
    assert read_file(tmp_path / 'a.pth')['state_dict']['w'].tolist() == [4, 4, 4]
    place = data.index(b'PK\6\7')
    refused(tmp_path, data[: place + 8] + bytes(8) + data[place + 16 :], 'is refused: it is a zip, but not one of')


def test_compressed_weights_are_not_read_as_numbers(tmp_path: Path) -> None:
    compressed = [record._replace(method=DEFLATED) for record in small()]
    refused(tmp_path, make_zip(compressed), 'is refused: its records are compressed')


def test_the_directory_that_torch_reads_is_the_checked_one(tmp_path: Path) -> None:
    shown = [each._replace(name=f'shown{each.name}') for each in small(2)]
    two = make_zip(small(1), shown=shown)
    with zipfile.ZipFile(io.BytesIO(two)) as archive:
        assert archive.namelist() == [each.name for each in shown]
    assert torch.load(io.BytesIO(two), weights_only=True)['state_dict']['w'].tolist() == [1, 1, 1]
    refused(tmp_path, two, 'is refused: it is a zip, but not one of torch.save')


@pytest.mark.parametrize('other', ['same', 'upper'])
def test_two_records_of_one_name_are_refused(other: str, tmp_path: Path) -> None:
    second = [each._replace(name=each.name.upper() if other == 'upper' else each.name) for each in small(2)]
    refused(tmp_path, make_zip(small() + second), 'is refused: two of its records have the same name')


def test_what_follows_or_goes_before_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, make_zip(small(), comment=b'PK'), 'is refused: it is a zip, but not one of torch.save')
    refused(tmp_path, make_zip(small()) + b'x', 'is ')
    refused(tmp_path, make_zip(small(), prefix=b'x'), 'is ')


def test_another_name_beside_the_contents_is_refused(tmp_path: Path) -> None:
    changed = [each._replace(local_name='x' * len(each.name)) for each in small()]
    refused(tmp_path, make_zip(changed), 'is not a checkpoint, or it is truncated or damaged')


BOMBS: dict[str, dict[str, Any]] = {
    'deflated': {},
    'a version that Python does not read': {'version': 1000},
    'small sizes in the directory': {'claimed': 100},
    'two directories': {},
}

#: Reads files, each of which must be refused, and prints by how many kilobytes the process grew.
READ_ALL = """
import pathlib, resource, sys
from seglight.errors import CheckpointError
from seglight.weight_files import opened, read_saved
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(pathlib.Path, sys.argv[1:]):
    try:
        with opened(path) as file:
            read_saved(file, path)
        sys.exit(f'{path} was read')
    except CheckpointError:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    bomb = records({'state_dict': {'w': torch.zeros(BOMB, dtype=torch.uint8)}}, DEFLATED)
    paths = [tmp_path / f'{number}.pth' for number in range(len(BOMBS))]
    for path, (case, changes) in zip(paths, BOMBS.items(), strict=True):
        data = [each._replace(**changes) if len(each.data) > 1000 else each for each in bomb]
        path.write_bytes(make_zip(data, shown=small() if case == 'two directories' else ()))
        assert path.stat().st_size < BOMB / 500
    command = [sys.executable, '-c', READ_ALL, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown = [int(word) << 10 for word in done.stdout.split()]
    assert len(grown) == len(paths)
    assert max(grown) < BOMB / 4
