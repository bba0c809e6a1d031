"""albumentations pipelines from configs."""

import random

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglight.data.transforms import build_pipeline, padding_label
from seglight.errors import ConfigError


def test_both_forms_of_a_transform_build_the_same() -> None:
    short = build_pipeline([{'type': 'RandomCrop', 'height': 4, 'width': 5}], 'key')
    long = build_pipeline([{'class_path': 'albumentations.RandomCrop', 'init_args': {'height': 4, 'width': 5}}], 'key')
    assert isinstance(short[0], A.RandomCrop)
    assert short[0].to_dict() == long[0].to_dict()


def test_new_pixels_of_masks_get_the_ignore_label_unless_told_otherwise() -> None:
    pad = {'type': 'PadIfNeeded', 'min_height': 4, 'min_width': 4}
    image = np.zeros((2, 2, 3), np.uint8)
    for spec, expected in ((pad, 250), ({**pad, 'fill_mask': 3}, 3)):
        out = build_pipeline([spec], 'key', ignore_index=250)(image=image, mask=image[..., 0])
        assert out['mask'][0, 0] == expected


@pytest.mark.parametrize(
    ('spec', 'said'),
    [
        ({'type': 'RandomCorp'}, "key.0: albumentations has no transform 'RandomCorp'; did you mean 'RandomCrop'?"),
        ({'type': 'RandomCrop', 'hieght': 4}, "key.0: RandomCrop has no argument 'hieght'; did you mean 'height'?"),
        ({'type': 'RandomCrop', 'height': -4, 'width': 4}, 'key.0: RandomCrop cannot be built'),
        ({'type': 'RandomCrop'}, 'key.0: RandomCrop cannot be built'),
        ({'class_path': 'nowhere.Flip'}, "key.0: there is no class 'nowhere.Flip'"),
        ({'class_path': 'pathlib.Path'}, 'key.0: pathlib.Path is no albumentations transform'),
        ({'height': 4}, "key.0: a transform is a dict with 'type' or with 'class_path'"),
    ],
)
def test_a_faulty_transform_is_named_by_its_index(spec: dict, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_pipeline([spec], 'key')
    assert said in str(error.value)
    assert '\n' not in str(error.value)


def test_transforms_inside_others_are_built_and_drawn_with_the_streams_of_the_pipeline() -> None:
    flip = {'type': 'HorizontalFlip', 'p': 1.0}
    inner = {
        'class_path': 'albumentations.Sequential',
        'init_args': {'transforms': [flip, {'type': 'VerticalFlip', 'p': 1.0}]},
    }
    pipeline = build_pipeline([{'type': 'OneOf', 'transforms': [flip, inner], 'p': 1.0}], 'key')
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    seen = set()
    for seed in range(20):
        pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
        seen.add(pipeline(image=image)['image'].tobytes())
    assert seen == {image[:, ::-1].tobytes(), image[::-1, ::-1].tobytes()}


def test_a_faulty_transform_inside_another_is_named() -> None:
    with pytest.raises(ConfigError, match=r'key\.0\.transforms\.1: albumentations has no transform'):
        build_pipeline([{'type': 'OneOf', 'transforms': [{'type': 'Transpose'}, {'type': 'Tranpose'}]}], 'key')


GEOMETRIC = [
    {'type': 'KeepRatioResize', 'ratio_range': [0.5, 2.0]},
    {'type': 'KeepRatioResize', 'img_scale': [50, 30], 'keep_ratio': False},
    {'type': 'CatMaxRatioCrop', 'height': 24, 'width': 20},
    {'type': 'RareClassCrop', 'height': 20, 'width': 24, 'classes': [3]},
    {'type': 'PadTo', 'size_divisor': 16},
    {'type': 'PadTo', 'height': 40, 'width': 44},
    {'type': 'HorizontalFlip'},
    {'type': 'PhotoMetricDistortion'},
]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(range(len(GEOMETRIC))), max_size=5, unique=True), st.integers(0, 2**32 - 1))
def test_image_and_mask_stay_aligned_and_no_label_is_invented(chosen: list[int], seed: int) -> None:
    """A red image with one green rectangle, whose mask says where it is; 1 pixel at the edges may be resized."""
    pipeline = build_pipeline([GEOMETRIC[index] for index in chosen], 'key', num_classes=4)
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[8:20, 10:26] = 3
    image = np.where(mask[..., None] == 3, np.uint8([20, 220, 20]), np.uint8([220, 20, 20]))
    result = pipeline(image=image, mask=mask)
    image, mask = result['image'], result['mask']
    assert image.shape[:2] == mask.shape
    assert image.dtype == mask.dtype == np.uint8
    padding = padding_label(4, 255)
    assert set(np.unique(mask)) <= {0, 3, padding}
    resizes = sum(index < 2 for index in chosen)
    if 7 not in chosen:
        green = image[..., 1] > image[..., 0]
        wrong = (green != (mask == 3)) & (mask != padding)
        if resizes:  # a resized edge is blurred, also where the picture ends, and enlarged again it is wider
            reach = (0, 2, 7)[resizes]  # 2 pixels, enlarged 2.5 times, and 2 more
            padded = np.pad(mask, reach, constant_values=100)
            border = cv2.morphologyEx(padded, cv2.MORPH_GRADIENT, np.ones((2 * reach + 1, 2 * reach + 1)))
            assert not (wrong & (border[reach:-reach, reach:-reach] == 0)).any()
        else:
            assert not wrong.any()
            assert (image[mask == padding] == 0).all()


def test_rare_classes_are_cropped_around() -> None:
    mask = np.zeros((100, 100), dtype=np.uint8)
    mask[80:90, 80:90] = 3
    counts = {}
    for name, spec in (
        ('plain', {'type': 'CatMaxRatioCrop', 'cat_max_ratio': 1}),
        ('rare', {'type': 'RareClassCrop', 'classes': [3]}),
    ):
        pipeline = build_pipeline([{**spec, 'height': 30, 'width': 30}], 'key')
        shown = 0
        for seed in range(100):
            pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
            shown += (pipeline(image=np.zeros((100, 100, 3), np.uint8), mask=mask)['mask'] == 3).any()
        counts[name] = shown
    assert counts['plain'] < 60
    assert counts['rare'] == 100


def test_a_label_tells_padding_from_what_is_ignored() -> None:
    assert padding_label(11, 255) == 254
    assert padding_label(255, 255) == 255  # every other label is a class
    assert padding_label(11, 254) == 255
