"""LabelMe files in columns are the same samples, kept for the next start, and made again when a file has changed."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglight.data.column_files import cached_path, keep
from seglight.data.sources import Context, LabelMeSource, Samples
from seglight.data.sources.labelme import columns as labelme_columns
from seglight.data.sources.labelme.file import read_labelme
from seglight.data.sources.labelme.rows import LabelMeRows
from seglight.data.sources.labelme.shapes import Shapes
from seglight.errors import DataError

CLASSES = ['background', 'cat', 'dog']
SHAPES = [
    {'label': 'dog', 'points': [[2.4, 3.7], [20.2, 1.1], [17.5, 14.9]], 'shape_type': 'polygon'},
    {'label': 'cat', 'points': [[10.3, 6.2], [15.9, 9.4]], 'shape_type': 'circle'},
]


def write(path: Path, shapes: list[Any], image: str | None, **values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({'shapes': shapes, 'imagePath': image, **values}))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with two shapes, with one, without any, and with a fault; images beside them and in another folder."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for module in ('sources.file_states', 'column_files'):
        monkeypatch.setattr(f'seglight.data.{module}.SETTLED', -10)
    for image in ('images/a.jpg', 'json/sub/b.png', 'json/sub/c.jpg', 'json/sub/d.jpg'):
        (tmp_path / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (24, 18)).save(tmp_path / image)
    write(tmp_path / 'json/a.json', SHAPES, '../images/a.jpg', imageHeight=18, imageWidth=24)
    write(tmp_path / 'json/sub/b.json', SHAPES[:1], 'b.png')
    write(tmp_path / 'json/sub/c.json', [], None, imageHeight=18)
    (tmp_path / 'json/sub/d.json').write_text('{')
    return tmp_path


def samples_of(root: Path, **options: Any) -> Samples:
    return LabelMeSource('json', **options).samples(Context(CLASSES, root=root))


def rows_of(samples: Samples) -> LabelMeRows:
    rows = samples.parts[0].rows
    assert isinstance(rows, LabelMeRows)
    return rows


def read(samples: Samples) -> list[list[list[int]]]:
    return [each.mask.read().tolist() for each in samples if each.mask]


def test_samples_are_those_of_the_files(root: Path) -> None:
    samples = samples_of(root)
    assert [each.name for each in samples] == ['a', 'sub/b', 'sub/c', 'sub/d']
    assert [each.image.resolve().relative_to(root).as_posix() for each in samples] == [
        'images/a.jpg',
        'json/sub/b.png',
        'json/sub/c.jpg',
        'json/sub/d.jpg',
    ]
    assert samples.texts('names') == [each.name for each in samples]
    assert samples.texts('images') == [str(each.image) for each in samples]
    assert [each.fault is None for each in samples] == [True, True, True, False]
    assert samples[3].mask is None
    assert 'sub/d.json is not valid JSON' in (samples[3].fault or '')
    for each in samples[:3]:
        path = root / f'json/{each.name}.json'
        expected = Shapes(path, each.image, read_labelme(path), {'cat': 1, 'dog': 2}, 0)
        assert each.mask is not None
        assert each.mask.path == path
        assert each.mask.fingerprint() == expected.fingerprint()
        assert each.mask.size() == (18, 24)
        assert np.array_equal(each.mask.read(), expected.read())
    assert set(np.unique(read(samples)[0])) == {0, 1, 2}


def test_the_next_start_reads_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = samples_of(root)
    with monkeypatch.context() as patch:
        patch.setattr(labelme_columns, 'read_labelme', None)
        second = samples_of(root)
    assert rows_of(second).files.columns.path is not None
    assert [(each.image, each.fault) for each in second] == [(each.image, each.fault) for each in first]
    for samples in (second, pickle.loads(pickle.dumps(second))):
        assert read(samples) == read(first)
    assert read(samples_of(root, category_map={'dog': 'cat'})) != read(first)


def test_what_changes_is_read_again_and_not_in_the_middle(root: Path) -> None:
    samples = samples_of(root)
    path = root / 'json/a.json'
    time = path.stat().st_mtime_ns
    path.write_text(path.read_text().replace('2.4', '3.4'))
    os.utime(path, ns=(time, time + 1))
    with pytest.raises(DataError, match=r'a\.json has changed since the start; start again'):
        read(samples)
    assert len(read(samples_of(root))) == 3
    write(root / 'json/sub/d.json', SHAPES, None)
    assert samples_of(root)[3].fault is None
    (root / 'images/a.jpg').unlink()
    Image.new('RGB', (24, 18)).save(root / 'json/a.webp')
    assert samples_of(root)[0].image == root / 'json/a.webp'
    write(root / 'json/sub/e.json', SHAPES, None)
    assert len(samples_of(root)) == 5


def test_damaged_columns_are_made_again(root: Path) -> None:
    samples = samples_of(root)
    expected, images = read(samples), samples.texts('images')
    files = rows_of(samples).files
    sound = {name: np.array(column) for name, column in files.columns.items()}
    wrong = {name: [column + 1, column[:-1], -1 - column] for name, column in sound.items() if column.dtype.kind == 'i'}
    wrong['height'][0] = -sound['height']
    wrong['width'][0] = -sound['width']
    wrong['label'][0] = sound['label'] + 2
    wrong['more'] = [np.frombuffer(text, np.uint8) for text in (b'{}', b'[]', b'{"faults": 3}', b'\xff')]
    for name, columns in wrong.items():
        for column in columns:
            assert keep(cached_path(files.name), files.key, {**sound, name: column}) is not None
            found = samples_of(root)
            assert (read(found), found.texts('images')) == (expected, images)
