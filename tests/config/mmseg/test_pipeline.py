"""What a stored config of mmseg says of labels and testing, for each config of its zoo too."""

from typing import Any

import pytest
from mmseg.datasets.pipelines import MultiScaleFlipAug

from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.pipeline import REDUCED, RESIZE, data_settings, not_taken_over
from seglight.config.mmseg.zoo import find_zoo

LOAD = {'type': 'LoadAnnotations', 'reduce_zero_label': True}


@pytest.mark.parametrize(
    ('config', 'reduces'),
    [
        ({'train_pipeline': [LOAD]}, True),
        ({'data': {'train': {'type': 'CustomDataset', 'pipeline': [LOAD]}}}, True),
        ({'data': {'train': {'type': 'RepeatDataset', 'dataset': {'type': 'X', 'pipeline': [LOAD]}}}}, True),
        ({'train_pipeline': [{'type': 'LoadAnnotations'}], 'data': {'val': {'type': 'ADE20KDataset'}}}, False),
        ({'data': {'val': {'type': 'ADE20KDataset'}}}, True),
        ({'data': {'val': {'type': 'CustomDataset', 'reduce_zero_label': True}}}, True),
        ({'data': {'val': {'type': 'CityscapesDataset'}}}, False),
        ({}, False),
    ],
)
def test_a_zero_label_that_was_reduced_in_training_is_reduced(config: dict[str, Any], reduces: bool) -> None:
    assert data_settings(config).get('reduce_zero_label', False) == reduces


def test_the_data_sets_that_reduce_are_mmsegs() -> None:
    import inspect

    from mmseg.datasets import DATASETS

    reducing = [
        name for name, cls in DATASETS.module_dict.items() if 'reduce_zero_label=True' in inspect.getsource(cls)
    ]
    assert sorted(reducing) == sorted(REDUCED)


@pytest.mark.parametrize(
    ('name', 'reduces'),
    [
        ('pspnet_r50-d8_512x512_80k_ade20k', True),
        ('pspnet_r50-d8_512x512_80k_loveda', True),
        ('pspnet_r50-d8_4x4_512x512_80k_potsdam', True),
        ('pspnet_r50-d8_4x4_512x512_80k_vaihingen', True),
        ('pspnet_r50-d8_512x1024_80k_cityscapes', False),
        ('pspnet_r50-d8_512x512_20k_voc12aug', False),
    ],
)
def test_configs_of_the_zoo(name: str, reduces: bool) -> None:
    config = read_mmseg_config(find_zoo(name))
    assert data_settings(config).get('reduce_zero_label', False) == reduces
    assert data_settings(config)['val_transforms'][0]['class_path'] == RESIZE
    assert not_taken_over(config) == []


def test_the_label_that_does_not_count_is_that_of_the_data_or_of_a_head() -> None:
    assert data_settings({'data': {'val': {'type': 'CustomDataset', 'ignore_index': 9}}})['ignore_index'] == 9
    assert data_settings({'model': {'decode_head': {'ignore_index': 0}}})['ignore_index'] == 0
    assert 'ignore_index' not in data_settings({'model': {'decode_head': {'ignore_index': -100}}})


def test_a_single_ratio_is_part_of_the_size() -> None:
    step = {'type': 'MultiScaleFlipAug', 'img_scale': [321, 201], 'img_ratios': [0.75], 'transforms': []}
    (resize,) = data_settings({'test_pipeline': [step]})['val_transforms']
    assert resize['init_args']['img_scale'] == [240, 150]
    own = MultiScaleFlipAug(transforms=[], img_scale=(321, 201), img_ratios=[0.75])
    assert own.img_scale == [(240, 150)]


def test_the_classes_of_a_custom_data_set_are_no_subset() -> None:
    names = ['road', 'sky']
    assert not_taken_over({'data': {'val': {'type': 'CustomDataset', 'classes': names}}}) == []
    (said,) = not_taken_over({'data': {'val': {'type': 'CityscapesDataset', 'classes': names}}})
    assert 'the subset of classes in its CityscapesDataset' in said


def test_what_is_not_done_here_is_listed() -> None:
    transforms = [
        {'type': 'Resize', 'keep_ratio': True, 'min_size': 512},
        {'type': 'ResizeToMultiple', 'size_divisor': 32},
    ]
    augmented = {'type': 'MultiScaleFlipAug', 'img_ratios': [0.5, 1.0], 'flip': True, 'transforms': transforms}
    grey = {'type': 'LoadImageFromFile', 'color_type': 'grayscale'}
    test = {'type': 'CityscapesDataset', 'classes': ['road'], 'pipeline': [grey, augmented]}
    said = not_taken_over({'data': {'test': test}})
    for part in (
        'min_size of Resize',
        'ResizeToMultiple',
        'color_type grayscale',
        'TestTimeAugmentation',
        'subset of classes',
    ):
        assert any(part in each for each in said), part
    assert len(said) == 5
