"""A pickle is refused before torch takes the memory that a few of its opcodes ask for."""

import io
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seglight.errors import CheckpointError
from seglight.pickle_scan import MOST_OPCODES, check_pickle
from seglight.weight_files import read_file


def text(value: str) -> bytes:
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return f'c{module}\n{attribute}\n'.encode()


def number(value: int) -> bytes:
    data = pickle.encode_long(value)
    return b'\x8a' + bytes([len(data)]) + data


def encoded(inner: bytes, encoding: str) -> bytes:
    return name('_codecs', 'encode') + inner + text(encoding) + b'\x86R'


def doubled(times: int) -> bytes:
    value = encoded(text('a' * 1000), 'utf-16')
    for _ in range(times):
        value = encoded(value, 'hex')
    return value


BIG_LIST = b'(' + b'N' * 1000 + b'l'
NAMES_BYTEARRAY = 'names .*bytearray, which no file of weights needs'
OTHERWISE = 'does not store bytes as torch.save does'
AGAIN = 'it uses a value again as torch.save does not'

PICKLES: dict[str, tuple[bytes, str]] = {
    'bytearray': (name('builtins', 'bytearray') + number(1 << 50) + b'\x85R', NAMES_BYTEARRAY),
    'bytearray of Python 2': (name('__builtin__', 'bytearray') + number(1 << 50) + b'\x85R', NAMES_BYTEARRAY),
    'bytearray by a third name': (name('exceptions', 'bytearray') + number(1 << 50) + b'\x85R', NAMES_BYTEARRAY),
    'tensor': (name('torch', 'FloatTensor') + number(1 << 50) + b'\x85R', r'names torch\.FloatTensor'),
    'nested tensor': (name('torch._utils', '_rebuild_nested_tensor') + b')R', r'_rebuild_nested_tensor, which no file'),
    'doubled bytes': (doubled(40), OTHERWISE),
    'slow encoding': (encoded(text('ä' * 1000), 'punycode'), OTHERWISE),
    'encoding from the memo': (
        text('hex') + b'q\1' + name('_codecs', 'encode') + text('61') + b'h\1\x86R',
        OTHERWISE,
    ),
    'text from the memo': (
        text('a' * 1000) + b'q\1' + name('_codecs', 'encode') + b'h\1' + text('latin1') + b'\x86R',
        OTHERWISE,
    ),
    'function from the memo': (
        encoded(text('a'), 'latin1')[:16] + b'q\1' + (text('a') + text('latin1') + b'\x86R') + b'h\1)R',
        OTHERWISE,
    ),
    'copies of a list': (b']q\1' + name('builtins', 'set') + b'h\1\x85R', AGAIN),
    'copies of a list in a longer tuple': (b']q\1' + name('builtins', 'set') + b'(h\1tR', AGAIN),
    'copies by a tuple from the memo': (b')q\1' + name('collections', 'OrderedDict') + b'h\1R', AGAIN),
    'copies of a tuple by the class': (b')q\1' + name('torch', 'Size') + b'h\1\x85\x81', AGAIN),
    'state from the memo': (b'}q\1' + name('collections', 'OrderedDict') + b')Rh\1b', AGAIN),
    'code': (name('posix', 'system') + text('true') + b'\x85R', r'loading its posix\.system would execute code'),
}


@pytest.mark.parametrize('case', PICKLES)
def test_a_pickle_that_torch_save_does_not_write_is_refused(case: str) -> None:
    data, message = PICKLES[case]
    with pytest.raises(CheckpointError, match=rf'a\.pth is refused: .*{message}'):
        check_pickle(io.BytesIO(b'\x80\2' + data + b'.'), Path('a.pth'))


def test_the_number_of_opcodes_is_bounded() -> None:
    with pytest.raises(CheckpointError, match='more than 2,000,000 opcodes'):
        check_pickle(io.BytesIO(b'\x80\2(' + b'\x8f' * MOST_OPCODES + b'l.'), Path('a.pth'))


@pytest.mark.parametrize('data', [b'', b'\x80\2', b'\xff.', b'X\xff\xff\xff\x7fa.', b'ca\n'])
def test_a_damaged_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r'a\.pth is not a checkpoint, or it is truncated or damaged'):
        check_pickle(io.BytesIO(data), Path('a.pth'))


def everything() -> dict[str, Any]:
    """Return each type of value that a checkpoint may contain."""
    layer = torch.nn.Conv2d(3, 4, 3)
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    shared = [1, 2]
    return {
        'state_dict': layer.state_dict(),
        'parameters': list(layer.parameters()),
        'optimizer': optimizer.state_dict(),
        'ordered': OrderedDict(a=1),
        'types': [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64, torch.uint16],
        'tensors': [torch.ones(2).to(kind) for kind in (torch.float16, torch.bfloat16, torch.bool, torch.int8)],
        'of torch': [torch.Size([1, 2]), torch.device('cpu'), torch.device('cpu')],
        'of numpy': [np.float64(1.5), np.float64(2.5), np.arange(3), np.arange(3), np.array(['a']), np.str_('b')],
        'bytes': [b'ab', b'\xff\0', b'cd'],
        'shared': [shared, shared],
        'set': {1, 'a'},
        'rest': [1j, None, True, 2**100, 'ä', (1, (2,))],
    }


@pytest.mark.parametrize('zipped', [True, False])
def test_everything_that_a_checkpoint_may_contain_is_read(zipped: bool, tmp_path: Path) -> None:
    saved = everything()
    torch.save(saved, tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
    read = read_file(tmp_path / 'a.pth')
    assert read.keys() == saved.keys()
    torch.testing.assert_close(read['state_dict'], dict(saved['state_dict']))
    for key in ('types', 'of torch', 'bytes', 'shared', 'set', 'rest', 'ordered'):
        assert read[key] == saved[key]
    assert all(np.array_equal(a, b) for a, b in zip(read['of numpy'], saved['of numpy'], strict=True))


def test_the_pickles_of_an_old_file_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({'w': torch.ones(2)}, tmp_path / 'a.pth', _use_new_zipfile_serialization=False)
    data = (tmp_path / 'a.pth').read_bytes()
    bomb = b'\x80\2' + PICKLES['bytearray'][0] + b'.'
    third = [place for place in range(len(data)) if data.startswith(b'\x80\2}', place)][1]
    (tmp_path / 'b.pth').write_bytes(data[:third] + bomb)
    monkeypatch.setattr(torch, 'load', lambda *_, **__: pytest.fail('torch was called'))
    with pytest.raises(CheckpointError, match=NAMES_BYTEARRAY):
        read_file(tmp_path / 'b.pth')
