"""Images of train that are in val are found, and no others."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglight.data import shared_images as module
from seglight.data.checks import read_header
from seglight.data.header_columns import image_numbers, read_headers
from seglight.data.shared_images import shared_content, shared_images
from seglight.data.sources import CocoSource, Context, Sample
from seglight.data.sources.columns import Samples


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


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Samples]:
    """Sources whose columns are kept: 40 images of train, and 6 of val, of which two are copies under other names."""
    monkeypatch.setattr('seglight.data.sources.coco.source.LARGE', 0)
    monkeypatch.setattr('seglight.data.column_files.SETTLED', -10)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    rng = np.random.default_rng(0)
    samples = {}
    for split, count in (('train', 40), ('val', 6)):
        (tmp_path / split).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f'{split}/{index}.png', compress_level=0)  # all of one size
        images = [{'id': each, 'file_name': f'{each}.png', 'height': 16, 'width': 20} for each in range(count)]
        content = {'images': images, 'categories': [{'id': 1, 'name': 'a'}], 'annotations': []}
        (tmp_path / f'{split}.json').write_text(json.dumps(content))
        samples[split] = Samples.of(CocoSource(f'{split}.json', split).samples(Context(['a'], root=tmp_path)))
    for copy, original in ((1, 30), (4, 7)):
        (tmp_path / f'val/{copy}.png').write_bytes((tmp_path / f'train/{original}.png').read_bytes())
    return samples


def test_only_what_the_headers_leave_possible_is_read(
    large: dict[str, Samples], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = shared_images(large)
    assert expected == [
        f'{tmp_path}/train/{original}.png in train and {tmp_path}/val/{copy}.png in val are the same'
        for copy, original in ((1, 30), (4, 7))
    ]
    assert {len(path.read_bytes()) for path in tmp_path.glob('*/*.png')} == {
        Path(tmp_path / 'val/0.png').stat().st_size
    }
    read: list[str] = []

    def end(path: str) -> bytes:
        read.append(Path(path).relative_to(tmp_path).as_posix())
        return Path(path).read_bytes()

    monkeypatch.setattr(module, '_end', end)
    assert shared_images(large) == expected
    assert len(read) == 46
    for samples in large.values():
        assert not read_headers(samples, read_header).faults
    read.clear()
    assert shared_images(large) == expected
    assert len(read) == 46  # of a short list: the headers may be those of an earlier start
    monkeypatch.setattr(module, 'KEPT_FROM', 3)
    read.clear()
    assert shared_images(large) == expected
    assert sorted(read) == ['train/30.png', 'train/7.png', 'val/1.png', 'val/4.png']
    read.clear()
    few = {'train': large['train'].take([39, 7, 3, 7]), 'val': large['val'].take([5, 4])}
    assert shared_images(few) == expected[1:]
    assert sorted(set(read)) == ['train/7.png', 'val/4.png']


def test_an_image_without_a_header_is_read(large: dict[str, Samples], tmp_path: Path) -> None:
    (tmp_path / 'train/0.png').write_bytes(b'')
    (tmp_path / 'val/0.png').write_bytes(b'')
    faults = [read_headers(samples, read_header).faults for samples in large.values()]
    assert [list(each) for each in faults] == [[0], [0]]
    assert image_numbers(large['train']) is None
    sound = Samples.joined([large['train'].take([]), Samples.of([])])
    assert image_numbers(sound) is not None
    assert len(shared_images(large)) == 2
