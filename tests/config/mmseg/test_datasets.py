"""mmseg's data sets as sources."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmseg.datasets import DATASETS as REGISTERED
from mmseg.datasets.pipelines import LoadAnnotations
from PIL import Image

from seglight.config.mmseg.datasets import CUSTOM, DATASETS, MAX_REPEATS, data_sources
from seglight.config.mmseg.pipeline import data_settings
from seglight.data import sources
from seglight.errors import ConfigError

ADE = {'type': 'ADE20KDataset', 'data_root': 'ade', 'img_dir': 'images/training', 'ann_dir': 'annotations/training'}
OWN = {'type': CUSTOM, 'data_root': 'own', 'img_dir': 'img', 'ann_dir': 'ann', 'classes': ['a', 'b']}
REDUCING = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations', 'reduce_zero_label': True}]
READING = [{'type': 'LoadImageFromFile'}, {'type': 'LoadAnnotations'}]


def config(train: Any, pipeline: Any = READING, **splits: Any) -> dict[str, Any]:
    return {'data': {'train': train, **splits}, 'train_pipeline': pipeline}


def test_the_data_sets_are_those_of_mmseg() -> None:
    assert set(DATASETS) == {name for name, cls in REGISTERED.module_dict.items() if getattr(cls, 'CLASSES', None)}
    assert MAX_REPEATS == sources.MAX_REPEATS


def test_a_data_set_of_mmseg_keeps_its_name_and_gives_the_classes() -> None:
    data = data_sources(config(ADE, REDUCING, val={**ADE, 'img_dir': 'images/validation'}))
    folders = {'img_dir': 'images/training', 'ann_dir': 'annotations/training'}
    assert data['train'] == {'type': 'ADE20KDataset', **folders}
    assert data['val'] == {'type': 'ADE20KDataset', **folders, 'img_dir': 'images/validation'}
    assert (data['root'], data['classes'], data['palette']) == ('ade', 'ADE20KDataset', None)
    assert 'test' not in data


def test_masks_are_read_as_the_pipeline_reads_them() -> None:
    assert data_sources(config(ADE, READING))['train']['reduce_zero_label'] is False
    assert data_sources(config(OWN, REDUCING, val=OWN))['train']['reduce_zero_label'] is True
    assert data_sources(config(OWN, REDUCING, val=OWN))['val']['reduce_zero_label'] is False
    assert data_sources(config({**OWN, 'pipeline': REDUCING}))['train']['reduce_zero_label'] is True
    own = config({**OWN, 'pipeline': READING}, REDUCING)  # which mmseg does not use
    assert data_sources(own)['train']['reduce_zero_label'] is False
    assert 'reduce_zero_label' not in data_settings(own)


@pytest.mark.parametrize('reduces', [(True, False), (False, True)])
def test_of_several_readers_the_last_counts_as_in_mmseg(reduces: tuple[bool, bool], tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1], [1, 0]], dtype=np.uint8)).save(tmp_path / 'a.png')
    results: dict[str, Any] = {'ann_info': {'seg_map': str(tmp_path / 'a.png')}, 'seg_fields': []}
    steps = [{'type': 'LoadAnnotations', 'reduce_zero_label': each} for each in reduces]
    for step in steps:
        results = LoadAnnotations(reduce_zero_label=step['reduce_zero_label'])(results)
    reduced = results['gt_semantic_seg'].tolist() == [[255, 0], [0, 255]]
    assert reduced == reduces[-1]
    assert data_settings({'train_pipeline': steps}).get('reduce_zero_label', False) == reduced
    assert data_sources(config(OWN, steps))['train']['reduce_zero_label'] == reduced


def test_a_custom_data_set_becomes_folders_with_mmsegs_suffixes() -> None:
    data = data_sources(config({**OWN, 'seg_map_suffix': '_gt.png', 'split': 'train.txt', 'palette': [[0] * 3] * 2}))
    assert data['train'] == {
        'type': 'FolderSource',
        'img_dir': 'img',
        'ann_dir': 'ann',
        'split': 'train.txt',
        'img_suffix': '.jpg',
        'mask_suffix': '_gt.png',
        'reduce_zero_label': False,
    }
    assert (data['classes'], data['palette']) == (['a', 'b'], [[0, 0, 0], [0, 0, 0]])


def test_data_sets_with_other_roots_are_found_from_the_working_folder() -> None:
    data = data_sources(config([OWN, {**OWN, 'data_root': '/other'}], val={**OWN, 'data_root': None}))
    assert data['root'] == '.'
    assert [each['img_dir'] for each in data['train']] == ['own/img', '/other/img']
    assert data['val']['ann_dir'] == 'ann'


def test_lists_of_folders_are_several_sources_as_in_mmseg() -> None:
    lists = {'img_dir': ['a', 'b'], 'ann_dir': ['c', 'd']}
    assert [(each['img_dir'], each['ann_dir']) for each in data_sources(config({**OWN, **lists}))['train']] == [
        ('a', 'c'),
        ('b', 'd'),
    ]
    splits = data_sources(config({**OWN, 'split': ['x.txt', 'y.txt']}))['train']
    assert [(each['img_dir'], each['split']) for each in splits] == [('img', 'x.txt'), ('img', 'y.txt')]


@pytest.mark.parametrize(
    ('times', 'repeats'), [((3,), [3]), ((40000,), [1000]), ((40000, 20000), [1000, 500]), ((4000, 1), [1000, 1])]
)
def test_repeats_keep_their_ratio_within_the_limit(times: tuple[int, ...], repeats: list[int]) -> None:
    repeated = [{'type': 'RepeatDataset', 'times': each, 'dataset': OWN} for each in times]
    train = data_sources(config(repeated))['train']
    assert [each.get('repeat', 1) for each in (train if isinstance(train, list) else [train])] == repeats


def test_classes_may_be_in_a_file(tmp_path: Any) -> None:
    (tmp_path / 'names.txt').write_text('cat\nbig dog\n\n')
    assert data_sources(config({**OWN, 'classes': str(tmp_path / 'names.txt')}))['classes'] == ['cat', 'big dog']


@pytest.mark.parametrize(
    ('train', 'message'),
    [
        (
            {**OWN, 'type': 'MyDataset'},
            r"data\.train\.type must be a data set of mmseg, got 'MyDataset'.*CustomDataset",
        ),
        ({**ADE, 'type': 'ADE20kDataset'}, "did you mean 'ADE20KDataset'"),
        ({'type': 'MultiImageMixDataset', 'dataset': OWN}, r'must not be MultiImageMixDataset.*Mosaic in data\.mixes'),
        ({**OWN, 'classes': None}, r'data\.train\.classes must name the classes'),
        ({**OWN, 'classes': 'nowhere.txt'}, r'data\.train\.classes names a file that cannot be read'),
        ({**OWN, 'classes': '/dev/null'}, r'data\.train\.classes must be a list or a regular file'),
        ({**OWN, 'img_dir': None}, r'data\.train\.img_dir must be a folder, got None'),
        ({**OWN, 'img_dir': ['a', 'b'], 'ann_dir': ['a', 'b', 'c']}, 'equally long lists, got 2 of img_dir, 3 of ann'),
        ({'type': 'RepeatDataset', 'times': 0, 'dataset': OWN}, r'data\.train\.times must be a number of at least 1'),
        ([], r'data\.train must name a data set'),
    ],
)
def test_what_is_not_read_is_an_error_with_its_key(train: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        data_sources(config(train))
