"""YOLO files in columns are the same samples, kept for the next start, and made again when a file has changed."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglight.data.column_files import cached_path
from seglight.data.sources import Context, Samples, YoloSource
from seglight.data.sources.yolo import rows as yolo_rows
from seglight.data.sources.yolo.lines import Polygons, read_yolo
from seglight.data.sources.yolo.rows import YoloRows
from seglight.errors import DataError

CLASSES = ['background', 'cat', 'dog']
LINES = '1 0.1 0.1 0.9 0.1 0.5 0.8\n0 0.2 0.2 0.6 0.3 0.4 0.5 0.3 0.6\n'


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five images: with two polygons, with one, without a file, with a wrong file, and with the name of another."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr('seglight.data.sources.file_states.SETTLED', -10)
    texts = {'a': LINES, 'sub/b': LINES.splitlines()[0], 'sub/c': None, 'sub/d': '0 0.1 x', 'a.png': None}
    for name, text in texts.items():
        for folder in ('images', 'labels'):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (32, 20)).save(tmp_path / f'images/{name}' if '.' in name else tmp_path / f'images/{name}.jpg')
        if text is not None:
            (tmp_path / f'labels/{name}.txt').write_text(text)
    return tmp_path


def samples_of(root: Path, **options: Any) -> Samples:
    source = YoloSource('images', 'labels', **{'names': ['cat', 'dog'], **options})
    return source.samples(Context(CLASSES, root=root))


def rows_of(samples: Samples) -> YoloRows:
    rows = samples.parts[0].rows
    assert isinstance(rows, YoloRows)
    return rows


def read(samples: Samples) -> list[list[list[int]]]:
    return [each.mask.read().tolist() for each in samples if each.mask]


def test_samples_are_those_of_the_files(root: Path) -> None:
    samples = samples_of(root)
    assert [each.name for each in samples] == ['a', 'a', 'sub/b', 'sub/c', 'sub/d']
    assert samples.texts('names') == [each.name for each in samples]
    assert samples.texts('images') == [str(each.image) for each in samples]
    assert 'the name of a.jpg' in (samples[1].fault or '')
    assert 'sub/d.txt:1: must hold numbers' in (samples[4].fault or '')
    assert [each.fault for each in samples[:1]] + [each.fault for each in samples[2:4]] == [None] * 3
    for each in samples:
        path = root / f'labels/{each.name}.txt'
        lines = read_yolo(path, {0: 'cat', 1: 'dog'}) if each.name in ('a', 'sub/b') else []
        polygons = [(line.number + 1, line.points) for line in lines if line.points is not None]
        expected = Polygons(path if path.exists() else each.image, each.image, polygons, 0)
        assert each.mask is not None
        assert each.mask.path == expected.path
        assert each.mask.fingerprint() == expected.fingerprint()
        assert each.mask.size() == (20, 32)
        assert np.array_equal(each.mask.read(), expected.read())


def test_the_next_start_reads_no_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = samples_of(root)
    expected, faults = read(first), [each.fault for each in first]
    with monkeypatch.context() as patch:
        patch.setattr(yolo_rows, 'read_yolo', None)
        second = samples_of(root)
    assert rows_of(second).files.columns.path is not None
    assert len(pickle.dumps(rows_of(second).files.columns)) < 1000
    assert [each.fault for each in second] == faults
    for samples in (second, pickle.loads(pickle.dumps(second))):
        assert read(samples) == expected
    assert read(samples_of(root, names=['dog', 'cat'])) != expected


def test_a_file_that_changes_is_read_again_and_not_in_the_middle(root: Path) -> None:
    samples = samples_of(root)
    path = root / 'labels/a.txt'
    time = path.stat().st_mtime_ns
    path.write_text(LINES.replace('1 0.1 0.1', '1 0.2 0.2'))
    os.utime(path, ns=(time, time + 1))
    with pytest.raises(DataError, match=r'a\.txt has changed since the start; start again'):
        read(samples)
    assert read(samples_of(root))
    (root / 'labels/sub/c.txt').write_text(LINES)
    mask = samples_of(root)[3].mask
    assert mask is not None
    assert mask.read().any()


def test_damaged_columns_are_made_again(root: Path) -> None:
    samples = samples_of(root)
    expected = read(samples)
    kept = cached_path(rows_of(samples).files.name)
    content = kept.read_bytes()
    for position in range(0, len(content), 8):
        kept.write_bytes(content[:position] + b'\xff' * 8 + content[position + 8 :])
        assert read(samples_of(root)) == expected


def test_recent_changes_are_not_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('seglight.data.sources.file_states.SETTLED', 1000)
    assert rows_of(samples_of(root)).files.columns.path is None
