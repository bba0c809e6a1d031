"""Images of train that are in val are found, and no others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from seglight.data import shared_images as module
from seglight.data.shared_images import shared_content, shared_images
from seglight.data.sources import Sample


def write(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def test_an_image_of_val_counts_once_however_often_train_has_it(tmp_path: Path) -> None:
    train = [write(tmp_path / name, b'blank') for name in ('b', 'a')] + [write(tmp_path / 'c', b'other')]
    val = [write(tmp_path / f'val/{name}', data) for name, data in (('x', b'blank'), ('y', b'third'))]
    assert shared_content(train, val) == [(str(tmp_path / 'a'), val[0])]
    assert shared_content(train[:1], [val[0], train[0]]) == [(train[0], train[0]), (train[0], val[0])]
    samples = {
        'train': [Sample(Path(path), path) for path in train],
        'val': [Sample(Path(path), path) for path in [*val, train[0]]],
    }
    assert shared_images(samples) == [
        f'{train[0]} is in train and in val',
        f'{tmp_path}/a in train and {val[0]} in val are the same',
    ]


def test_blank_tiles_take_time_and_memory_in_proportion_to_their_number(tmp_path: Path) -> None:
    first = [write(tmp_path / f'train/{index}', b'blank') for index in range(5000)]
    second = [write(tmp_path / f'val/{index}', b'blank') for index in range(500)]
    start = time.process_time()
    assert len(shared_content(first, second)) == 500
    assert time.process_time() - start < 20


@pytest.mark.parametrize('length', [1, 4095, 4096, 4097, 10_000])
def test_one_other_byte_anywhere_makes_another_image(tmp_path: Path, length: int) -> None:
    data = bytes(index % 251 for index in range(length))
    train = write(tmp_path / 'train', data)
    places = {0, length // 2, max(0, length - 4097), max(0, length - 4096), length - 1}
    changed = [data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :] for place in sorted(places)]
    others = [write(tmp_path / f'val/{index}', each) for index, each in enumerate(changed)]
    same = write(tmp_path / 'val/same', data)
    assert shared_content([train], [*others, same]) == [(train, same)]


def test_only_files_with_equal_ends_are_read_to_their_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = [write(tmp_path / f'train/{index}', bytes([index]) * 10_000) for index in range(8)]
    val = [write(tmp_path / f'val/{index}', bytes([index]) * 10_000) for index in range(7, 12)]
    whole: list[str] = []

    def digest(path: str) -> bytes:
        whole.append(path)
        return Path(path).read_bytes()

    monkeypatch.setattr(module, '_digest', digest)
    assert shared_content(train, val) == [(train[7], val[0])]
    assert sorted(whole) == sorted([train[7], val[0]])
