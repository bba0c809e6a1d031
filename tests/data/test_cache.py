"""The cache of decoded samples: the same pixels, shared, bounded, and never from before a change of the file."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from seglight.batch import collate
from seglight.data import SegmentationDataModule
from seglight.data.cache import SampleCache
from seglight.data.dataset import SegmentationDataset
from seglight.data.sources import Context, FolderSource
from seglight.data.transforms import build_pipeline

CLASSES = [str(index) for index in range(11)]


def dataset(root: Path, cache: SampleCache | None, **options: Any) -> SegmentationDataset:
    samples = FolderSource('img_dir/train', 'ann_dir/train', **options).samples(Context(CLASSES, root=root))
    pipeline = build_pipeline([{'type': 'HorizontalFlip'}], 'key', classes=CLASSES)
    return SegmentationDataset(samples, pipeline, CLASSES, training=True, cache=cache)


@pytest.mark.parametrize('workers', [0, 2])
def test_cached_samples_are_those_that_were_decoded(own_data: Path, tmp_path: Path, workers: int) -> None:
    plain, cached = dataset(own_data, None), dataset(own_data, SampleCache(tmp_path / 'cache', 1))
    for _ in range(2):
        loader = DataLoader(cached, batch_size=2, num_workers=workers, collate_fn=collate)
        for first, batch in zip(range(0, 8, 2), loader, strict=True):
            expected = collate([plain[first], plain[first + 1]])
            assert torch.equal(batch['image'], expected['image'])
            assert torch.equal(batch['mask'], expected['mask'])
    files = list((tmp_path / 'cache').iterdir())
    assert len(files) == 8
    assert cached._cache
    assert int(cached._cache.held) == sum(path.stat().st_size for path in files) == 8 * (28 + 64 * 64 * 4)


def test_a_second_read_decodes_nothing(own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = dataset(own_data, SampleCache(tmp_path / 'cache', 1))
    first = data[3]
    monkeypatch.setattr('seglight.data.dataset.read_image', lambda _: pytest.fail('decoded again'))
    again = data[3]
    assert torch.equal(first['image'], again['image'])
    again['image'].zero_()  # a batch of one's own, not the file
    assert torch.equal(first['image'], data[3]['image'])


@pytest.mark.parametrize('change', ['image', 'mask', 'labels'])
def test_what_has_changed_is_decoded_anew(own_data: Path, tmp_path: Path, change: str) -> None:
    before: Any = dataset(own_data, SampleCache(tmp_path / 'cache', 1))[3]
    options: dict[str, Any] = {}
    if change == 'labels':
        options = {'label_map': {0: 5}}
    else:
        kind, suffix = ('img_dir', 'jpg') if change == 'image' else ('ann_dir', 'png')
        path = own_data / kind / 'train' / f'0003.{suffix}'
        path.write_bytes((own_data / kind / 'train' / f'0004.{suffix}').read_bytes())
        os.utime(path, ns=(1, 1))
    after: Any = dataset(own_data, SampleCache(tmp_path / 'cache', 1), **options)[3]
    expected: Any = dataset(own_data, None, **options)[3]
    for key in ('image', 'mask'):
        assert torch.equal(after[key], expected[key])
    assert not all(torch.equal(before[key], after[key]) for key in ('image', 'mask'))
    assert len(list((tmp_path / 'cache').iterdir())) == 1


def test_it_holds_no_more_than_it_may(own_data: Path, tmp_path: Path) -> None:
    cache = SampleCache(tmp_path / 'cache', 3.5 * (28 + 64 * 64 * 4) / 1e9)
    data = dataset(own_data, cache)
    for index in range(8):
        assert np.array_equal(data[index]['image'], dataset(own_data, None)[index]['image'])
    assert len(list((tmp_path / 'cache').iterdir())) == 3
    full = dataset(own_data, SampleCache(tmp_path / 'cache', 1e-9))
    assert torch.equal(full[0]['image'], data[0]['image'])


def test_an_unusable_folder_disables_the_cache_with_one_warning(
    own_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'file').write_text('in the way')
    for _ in range(2):
        data = dataset(own_data, SampleCache(tmp_path / 'file/decoded', 1))
    assert torch.equal(data[0]['image'], dataset(own_data, None)[0]['image'])
    folder = f'{tmp_path}/file/decoded'
    message = f'seglight: warning: decoded images are not cached: cannot create {folder}: Not a directory'
    assert capsys.readouterr().err.splitlines() == [message]


def test_files_whose_names_are_not_utf8_are_cached(own_data: Path, tmp_path: Path) -> None:
    for kind, suffix in (('img_dir', 'jpg'), ('ann_dir', 'png')):
        path = own_data / kind / 'train' / f'0000.{suffix}'
        path.rename(path.with_name(os.fsdecode(b'\xff\xe9.' + suffix.encode())))
    data = dataset(own_data, SampleCache(tmp_path / 'cache', 1))
    first, again = data[7], data[7]
    assert first['meta']['name'] == os.fsdecode(b'\xff\xe9')
    assert torch.equal(first['image'], again['image'])
    assert len(list((tmp_path / 'cache').iterdir())) == 1


def test_a_damaged_file_is_replaced(own_data: Path, tmp_path: Path) -> None:
    data = dataset(own_data, SampleCache(tmp_path / 'cache', 1))
    expected = data[0]
    file = next((tmp_path / 'cache').iterdir())
    for damage in (b'', b'short', file.read_bytes()[:-5]):
        file.write_bytes(damage)
        assert torch.equal(data[0]['image'], expected['image'])


def test_train_and_val_share_the_limit(own_data: Path, workspace: Path) -> None:
    data = SegmentationDataModule(CLASSES, root=str(own_data), cache=50_000 / 1e9, num_workers=0)
    data.setup('fit')
    for name in ('train', 'val'):
        for index in range(len(data.datasets[name])):
            data.datasets[name][index]
    sizes = [path.stat().st_size for path in (workspace.parent / 'cache').rglob('*.raw')]
    assert 50_000 - max(sizes) < sum(sizes) <= 50_000
