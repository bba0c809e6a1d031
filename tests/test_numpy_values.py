"""Arrays and numbers of numpy in a file keep their values, and cannot lie about their memory."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seglight.errors import CheckpointError
from seglight.weight_files import read_file

VALUES: dict[str, Any] = {
    'a number': np.float64(1.5),
    'a truth value': np.bool_(True),
    'a text': np.str_('road'),
    'columns first': np.arange(6).reshape(2, 3).T,
    'texts': np.array(['road', 'sky']),
    'another order of bytes': np.arange(3, dtype='>i4'),
    'no dimension': np.array(3.0),
}


@pytest.mark.parametrize('zipped', [True, False])
def test_arrays_keep_their_values_also_when_they_are_saved_again(zipped: bool, tmp_path: Path) -> None:
    torch.save(VALUES, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    torch.save(read_file(tmp_path / 'a.pth'), tmp_path / 'b.pth')
    found = read_file(tmp_path / 'b.pth')
    for name, value in VALUES.items():
        assert np.array_equal(found[name], value), name


def named(module: str, name: str) -> bytes:
    return f'c{module}\n{name}\n'.encode()


def text(value: str) -> bytes:
    return b'X' + len(value).to_bytes(4, 'little') + value.encode()


def number(value: int) -> bytes:
    return b'J' + value.to_bytes(4, 'little', signed=True)


def data(size: int) -> bytes:
    return named('_codecs', 'encode') + text('A' * size) + text('latin1') + b'\x86R'


def array(kind: bytes, size: int, content: bytes) -> bytes:
    """Pickle an array of one dimension."""
    empty = named('numpy._core.multiarray', '_reconstruct') + named('numpy', 'ndarray')
    empty += number(0) + b'\x85' + text('b') + b'\x87R'
    return empty + b'(' + number(1) + number(size) + b'\x85' + kind + b'\x89' + content + b'tb'


def of_type(code: str) -> bytes:
    return named('numpy', 'dtype') + text(code) + b'\x89\x88\x87R'


def read(pickled: bytes, path: Path) -> object:
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('archive/data.pkl', b'\x80\x02' + pickled + b'.')
        file.writestr('archive/version', '3\n')
        file.writestr('archive/byteorder', 'little')
    return read_file(path)


def test_a_type_that_grows_when_the_array_is_made_changes_no_array(tmp_path: Path) -> None:
    grown = b'h\x01(' + number(3) + text('|') + b'NNN' + number(1000) + number(1) + number(0) + b'tb'
    first = array(of_type('S1') + b'q\x01', 64, data(64))
    found = read(b'](' + first + array(grown, 0, data(0)) + b'e', tmp_path / 'a.pth')
    assert isinstance(found, list)
    assert found[0].tobytes() == b'A' * 64


def test_addresses_in_the_bytes_of_an_array_are_not_taken_for_objects(tmp_path: Path) -> None:
    field = text('a') + of_type('O8') + number(0) + b'\x86'
    fields = b'}' + field + b's'
    kind = of_type('f8') + b'(' + number(3) + text('|') + b'N' + text('a') + b'\x85' + fields
    kind += number(8) + number(8) + number(0) + b'tb'
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint'):
        read(array(kind, 1, data(8)), tmp_path / 'a.pth')
    kind = of_type('f8') + b'(' + number(3) + text('|') + b'N' + text('a') + b'\x85' + b'}'
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint'):
        read(array(kind + number(8) + number(8) + number(0) + b'tb', 1, data(8)), tmp_path / 'a.pth')


@pytest.mark.parametrize(('code', 'size', 'bytes_'), [('f8', 2, 8), ('f8', -1, 8), ('O8', 1, 8), ('V8', 1, 8)])
def test_arrays_of_other_sizes_or_types_are_refused(code: str, size: int, bytes_: int, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint'):
        read(array(of_type(code), size, data(bytes_)), tmp_path / 'a.pth')
