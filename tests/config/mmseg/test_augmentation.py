"""mmseg's pipelines as transforms."""

from typing import Any

import numpy as np
import pytest
from mmseg.datasets.pipelines import Compose, Pad, RandomRotate

from seglight.config.mmseg.augmentation import train_transforms, tta_callback
from seglight.data.transforms import apply, build_pipeline
from seglight.errors import ConfigError

#: The steps without random numbers but the flip's, which is certain.
STEPS: list[dict[str, Any]] = [
    {'type': 'Resize', 'img_scale': [90, 60], 'keep_ratio': True},
    {'type': 'RandomFlip', 'prob': 1.0, 'direction': 'vertical'},
    {'type': 'RandomCrop', 'crop_size': [48, 64]},
    {'type': 'Pad', 'size': [64, 100]},
]


def pair(height: int = 64, width: int = 80) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return random.integers(0, 256, (height, width, 3), np.uint8), random.integers(0, 5, (height, width), np.uint8)


def as_mmseg(steps: list[dict[str, Any]], image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tuples = [{name: tuple(v) if isinstance(v, list) else v for name, v in step.items()} for step in steps]
    start = {'img': image, 'gt_semantic_seg': mask, 'seg_fields': ['gt_semantic_seg'], 'img_shape': image.shape}
    end = Compose(tuples)({**start, 'pad_shape': image.shape, 'scale_factor': 1.0, 'img_fields': ['img']})
    return end['img'], end['gt_semantic_seg']


@pytest.mark.parametrize('index', range(len(STEPS)))
def test_a_step_changes_image_and_mask_as_in_mmseg(index: int) -> None:
    image, mask = pair(64, 80) if STEPS[index]['type'] != 'RandomCrop' else pair(48, 64)
    pipeline = build_pipeline(train_transforms([STEPS[index]], 'train_pipeline'), 'data.train_transforms')
    ours = apply(pipeline, {'image': image, 'mask': mask}, [1], 'a')
    theirs = as_mmseg([STEPS[index]], image, mask)
    assert np.array_equal(ours['image'], theirs[0])
    assert np.array_equal(ours['mask'], theirs[1])


def test_the_order_stays_and_steps_of_files_and_batches_are_left_out() -> None:
    steps = [{'type': 'LoadImageFromFile'}, *STEPS[:2], {'type': 'Normalize'}, STEPS[3], {'type': 'Collect'}]
    names = [each['type'] for each in train_transforms(steps, 'train_pipeline')]
    assert names == ['KeepRatioResize', 'VerticalFlip', 'PadTo']


def test_arguments_that_are_left_out_mean_mmsegs_defaults() -> None:
    crop, flip = train_transforms([{'type': 'RandomCrop', 'crop_size': 32}, {'type': 'RandomFlip'}], 'p')
    assert crop == {'type': 'CatMaxRatioCrop', 'height': 32, 'width': 32, 'cat_max_ratio': 1.0}
    assert flip == {'type': 'HorizontalFlip', 'p': 0}
    [pad] = train_transforms([{'type': 'Pad', 'size_divisor': 32, 'seg_pad_val': 0}], 'p')
    assert pad == {'type': 'PadTo', 'size_divisor': 32, 'fill_mask': 0}
    assert Pad(size_divisor=32).seg_pad_val == 255


def test_a_rotation_has_mmsegs_range() -> None:
    [rotate] = train_transforms([{'type': 'RandomRotate', 'prob': 0.4, 'degree': 20}], 'p')
    assert tuple(rotate['limit']) == RandomRotate(prob=0.4, degree=20).degree
    assert (rotate['p'], rotate['border_mode'], rotate['fill']) == (0.4, 0, 0)
    build_pipeline([rotate], 'data.train_transforms')


@pytest.mark.parametrize(
    ('step', 'message'),
    [
        ({'type': 'CLAHE'}, r"p\.0 is CLAHE, .*albumentations' CLAHE to data\.train_transforms in a YAML"),
        ({'type': 'MyStep'}, r'p\.0 is MyStep, which seglight does not have; remove it'),
        ({'type': 'RandomMosaic'}, r'add Mosaic to data\.mixes'),
        ({'type': 'Pad', 'mode': 'edge'}, r'p\.0 has mode of Pad, which seglight does not have'),
        ({'type': 'RandomCrop'}, r'p\.0 has wrong arguments of RandomCrop'),
        ({'type': 'RandomRotate', 'prob': 1, 'degree': 1, 'auto_bound': True}, 'auto_bound must be left out'),
        ({'type': 'Pad', 'size': [8, 8], 'pad_val': 114}, 'pad_val must be 0'),
        ({'type': 'RandomCrop', 'crop_size': [8, 8], 'ignore_index': 0}, 'ignore_index must be 255'),
        ('Pad', r'p\.0 must be a dict with a type'),
    ],
)
def test_what_is_not_translated_is_an_error_with_its_key(step: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_transforms([step], 'p')


def augmented(**more: Any) -> dict[str, Any]:
    return {'test_pipeline': [{'type': 'MultiScaleFlipAug', 'img_scale': [64, 64], **more}]}


def test_several_views_become_a_callback() -> None:
    assert tta_callback(augmented(flip=False)) is None
    callback = tta_callback(augmented(flip=True, img_ratios=[0.5, 1.0], flip_direction=['horizontal', 'vertical']))
    assert callback is not None
    assert callback['init_args'] == {'scales': [0.5, 1.0], 'flips': ['horizontal', 'vertical']}
    assert tta_callback(augmented(flip=False, img_ratios=[0.75])) is None  # the size of a single view
    one = tta_callback(augmented(flip=True, img_ratios=0.75))
    assert one is not None
    assert one['init_args'] == {'scales': [1.0], 'flips': ['horizontal']}
    sizes = tta_callback(augmented(img_scale=[[64, 64], [128, 128]]))
    assert sizes is not None
    assert sizes['init_args'] == {'scales': [1.0, 2.0], 'flips': []}
