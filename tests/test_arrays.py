"""Zips of numpy's arrays that claim more than they hold."""

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Result

from seglight.arrays import ERRORS, load_arrays


def claim(path: Path, shape: str, data: bytes = b'\0' * 16) -> None:
    """Write an npz with an array whose header claims a shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b' ' * (63 - (len(header) + 10) % 64) + b'\n'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('a.npy', b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header + data)


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {'a': np.arange(6.0).reshape(2, 3), 'b': np.array(3), 'c': np.array(['x', 'yz']), 'd': np.zeros((0, 3))}
    np.savez_compressed(tmp_path / 'a.npz', **arrays)  # type: ignore[arg-type]
    found = load_arrays(tmp_path / 'a.npz', 10_000)
    assert all((found[name] == value).all() and found[name].shape == value.shape for name, value in arrays.items())


@pytest.mark.parametrize('shape', ['(1000000000000,)', '(0,)', '(5,)', '(1000000, 1000000, 1000000)', '(-1,)'])
def test_a_shape_that_its_bytes_are_not_is_refused(tmp_path: Path, shape: str, run: Callable[..., Result]) -> None:
    claim(tmp_path / 'a.npz', shape)
    with pytest.raises(ERRORS):
        load_arrays(tmp_path / 'a.npz', 1 << 30)
    result = run('convert', 'vitjax', tmp_path / 'a.npz', tmp_path / 'b.pth')
    assert result.status == 2
    assert 'a.npz cannot be read' in result.err
    assert len(result.err.splitlines()) == 1


def test_a_zip_that_unpacks_to_more_is_not_unpacked(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / 'a.npz', a=np.zeros(50_000_000, dtype=np.uint8))
    with pytest.raises(ValueError, match='claims to hold more'):
        load_arrays(tmp_path / 'a.npz', 1_000_000)


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{}], dtype=object))
    (tmp_path / 'a.npz').write_bytes(buffer.getvalue())
    with pytest.raises(ERRORS):
        load_arrays(tmp_path / 'a.npz', 10_000)


def test_what_lzma_compressed_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', a=np.arange(6.0))
    with (
        zipfile.ZipFile(tmp_path / 'a.npz') as stored,
        zipfile.ZipFile(tmp_path / 'b.npz', 'w', zipfile.ZIP_LZMA) as file,
    ):
        file.writestr('a.npy', stored.read('a.npy'))
    with pytest.raises(ERRORS, match='neither stored nor deflated'):
        load_arrays(tmp_path / 'b.npz', 10_000)
