"""Files of weights are read without running what is in them."""

import datetime
import errno
import os
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from seglight.errors import CheckpointError
from seglight.weight_files import check_checksums, read_file, state_dict, write_checkpoint

FORMATS = pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f'touch {self.path}',)


@FORMATS
def test_a_malicious_pickle_does_not_run(tmp_path: Path, zipped: bool) -> None:
    payload = {'state_dict': {'weight': torch.ones(2)}, 'meta': Malicious(tmp_path / 'was_run')}
    torch.save(payload, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match=r'a\.pth is refused: loading its posix\.system would execute code.*--trust-checkpoint'
    ):
        read_file(tmp_path / 'a.pth')
    assert not (tmp_path / 'was_run').exists()
    read_file(tmp_path / 'a.pth', trust=True)  # shows that the file is malicious indeed
    assert (tmp_path / 'was_run').exists()


@FORMATS
def test_the_numpy_values_of_mmcvs_meta_are_read(tmp_path: Path, zipped: bool) -> None:
    meta = {'lr': np.float64(0.5), 'iter': np.int64(3), 'mean': np.arange(3.0), 'ok': np.bool_(True), 'CLASSES': ('a',)}
    payload = {'meta': meta, 'state_dict': OrderedDict(weight=torch.ones(2))}
    torch.save(payload, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    entries = read_file(tmp_path / 'a.pth')
    assert entries['meta'].pop('mean').tolist() == [0, 1, 2]
    assert entries['meta'] == {'lr': 0.5, 'iter': 3, 'ok': True, 'CLASSES': ('a',)}
    assert state_dict(entries, tmp_path / 'a.pth')['weight'].tolist() == [1, 1]


def test_a_numpy_array_of_objects_does_not_run_what_is_in_it(tmp_path: Path) -> None:
    torch.save({'meta': np.array([Malicious(tmp_path / 'was_run')], dtype=object)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError):
        read_file(tmp_path / 'a.pth')
    assert not (tmp_path / 'was_run').exists()


def test_what_is_no_number_is_refused_by_its_name(tmp_path: Path) -> None:
    torch.save({'time': datetime.datetime(2020, 1, 1)}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'loading its datetime\.datetime would execute code'):
        read_file(tmp_path / 'a.pth')
    assert read_file(tmp_path / 'a.pth', trust=True)['time'].year == 2020


@FORMATS
@pytest.mark.parametrize('kept', [0, 3, 10, 0.5, -5], ids=['empty', '3 bytes', '10 bytes', 'half', 'all but 5 bytes'])
def test_a_truncated_file_is_recognised(tmp_path: Path, zipped: bool, kept: float) -> None:
    torch.save({'weight': torch.ones(100)}, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    data = (tmp_path / 'a.pth').read_bytes()
    (tmp_path / 'a.pth').write_bytes(data[: int(len(data) * kept) if isinstance(kept, float) else kept])
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint'):
        read_file(tmp_path / 'a.pth')


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file({'a': torch.arange(3.0)}, tmp_path / 'a.safetensors')
    assert read_file(tmp_path / 'a.safetensors')['a'].tolist() == [0, 1, 2]
    (tmp_path / 'a.safetensors').write_bytes((tmp_path / 'a.safetensors').read_bytes()[:-1])
    with pytest.raises(CheckpointError, match='truncated or damaged'):
        read_file(tmp_path / 'a.safetensors')


def _safetensors(header: bytes, length: int | None = None) -> bytes:
    return struct.pack('<Q', len(header) if length is None else length) + header + bytes(64)


_ENTRY = '"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'


@pytest.mark.parametrize(
    'content',
    [
        _safetensors(b'{}', 2**63),
        _safetensors(b'{}', 2**27),
        _safetensors(b'{"a":' * 50_000),
        _safetensors(b'[' * 100_000),
        _safetensors(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,16]}}'),
        _safetensors(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,1600]}}'),
        _safetensors(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[-16,0]}}'),
        _safetensors(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[18446744073709551600,0]}}'),
        _safetensors(b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'),
        _safetensors(f'{{{_ENTRY},{_ENTRY.replace("a", "b", 1)}}}'.encode()),  # two share their bytes
        _safetensors(b'{"a":{"dtype":"X9","shape":[4],"data_offsets":[0,16]}}'),
        _safetensors(b'\xff' * 20),
    ],
)  # fmt: skip
def test_a_damaged_header_of_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / 'a.safetensors'
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r'a\.safetensors is not a checkpoint, or it is truncated or damaged'):
        read_file(path)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for suffix in ('.safetensors', '.pth'):
        pipe = tmp_path / f'pipe{suffix}'
        os.mkfifo(pipe)
        endless = tmp_path / f'zero{suffix}'
        endless.symlink_to('/dev/zero')
        for path in (pipe, endless, tmp_path):
            with pytest.raises(CheckpointError, match='is not a regular file'):
                read_file(path)


def test_a_file_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match='contains no weights'):
        state_dict({'meta': {'a': 1}}, tmp_path / 'a.pth')


def test_the_reason_of_the_system_is_given(tmp_path: Path) -> None:
    path = tmp_path / 'a.ckpt'
    path.symlink_to(path)
    with pytest.raises(CheckpointError, match='cannot be read: Too many levels of symbolic links'):
        read_file(path)


@pytest.mark.parametrize('fault', ['compressed data', 'encrypted', 'LZMA'])
def test_a_record_that_cannot_be_read_is_damaged(tmp_path: Path, fault: str) -> None:
    path = tmp_path / 'a.pt2'
    method = zipfile.ZIP_LZMA if fault == 'LZMA' else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, 'w', method) as archive:
        archive.writestr('weights', bytes(1000))
    data = bytearray(path.read_bytes())
    if fault == 'encrypted':
        for head, flags in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
            data[data.index(head) + flags] |= 1
    elif fault == 'LZMA':
        data[30 + len('weights') + 4] = 255  # properties that do not exist
    else:
        data[30 + len('weights')] = 255  # the first byte of the data: a block of a kind that does not exist
    path.write_bytes(data)
    with path.open('rb') as file, pytest.raises(CheckpointError, match=r'a\.pt2 is damaged or truncated'):
        check_checksums(file, path)


def test_a_system_that_does_not_open_folders_keeps_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system_open = os.open

    def on_windows(path: Path, *arguments: int) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return system_open(path, *arguments)

    monkeypatch.setattr(os, 'open', on_windows)
    write_checkpoint({'weight': torch.ones(2)}, tmp_path / 'run/a.ckpt')
    assert read_file(tmp_path / 'run/a.ckpt')['weight'].tolist() == [1, 1]
    assert [path.name for path in (tmp_path / 'run').iterdir()] == ['a.ckpt']
