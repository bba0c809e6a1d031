"""albumentations pipelines from configs."""

import random
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglight.data.padding import may_pad, padding_label
from seglight.data.transforms import apply, build_pipeline, transform_for_evaluation
from seglight.errors import ConfigError, DataError

CLASSES = ['road', 'cat', 'dog']


def test_both_forms_of_a_transform_build_the_same() -> None:
    short = build_pipeline([{'type': 'RandomCrop', 'height': 4, 'width': 5}], 'key')
    long = build_pipeline([{'class_path': 'albumentations.RandomCrop', 'init_args': {'height': 4, 'width': 5}}], 'key')
    assert isinstance(short[0], A.RandomCrop)
    assert short[0].to_dict() == long[0].to_dict()


def test_new_pixels_of_masks_are_ignored_by_default() -> None:
    pad = {'type': 'PadIfNeeded', 'min_height': 4, 'min_width': 4}
    image = np.zeros((2, 2, 3), np.uint8)
    for spec, expected in ((pad, 250), ({**pad, 'fill_mask': 3}, 3)):
        out = build_pipeline([spec], 'key', ignore_index=250)(image=image, mask=image[..., 0])
        assert out['mask'][0, 0] == expected


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'type': 'RandomCorp'}, "key.0: albumentations has no transform 'RandomCorp'; did you mean 'RandomCrop'?"),
        (
            {'type': 'RandomCrop', 'hieght': 4},
            "key.0.hieght: RandomCrop has no argument 'hieght'; did you mean 'height'?",
        ),
        ({'type': 'RandomCrop', 'height': -4, 'width': 4}, 'key.0: RandomCrop cannot be built'),
        ({'type': 'RandomCrop'}, 'key.0: RandomCrop cannot be built'),
        ({'class_path': 'nowhere.Flip'}, "key.0: unknown class 'nowhere.Flip'"),
        ({'class_path': 'pathlib.Path'}, 'key.0: pathlib.Path is not an albumentations transform'),
        ({'height': 4}, "key.0: a transform must be a dict with 'type' or with 'class_path'"),
    ],
)
def test_a_faulty_transform_is_named_by_its_index(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_pipeline([spec], 'key')
    assert message in str(error.value)
    assert '\n' not in str(error.value)


CROP = {'height': 8, 'width': 8}


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'type': 'HorizontalFlip', 'p': 'a'}, "p must be a number from 0 to 1, got 'a'"),
        ({'type': 'PadTo', 'size_divisor': 'a'}, "size_divisor: expected int | null, got 'a'"),
        ({'type': 'PadTo', 'size_divisor': 8, 'fill': 900}, 'fill must be a number from 0 to 255, got 900'),
        ({'type': 'PadTo', 'size_divisor': 8, 'fill_mask': -1}, 'fill_mask must be a label from 0 to 2 or 255, got -1'),
        ({'type': 'CoarseDropout', 'fill_mask': 77}, 'fill_mask must be a label from 0 to 2 or 255, got 77'),
        ({'type': 'CatMaxRatioCrop', 'height': 10.5, 'width': 8}, 'height: expected int, got 10.5'),
        ({'type': 'CatMaxRatioCrop', 'height': 8, 'width': '8'}, "width: expected int, got '8'"),
        ({'type': 'CatMaxRatioCrop', **CROP, 'cat_max_ratio': 'a'}, "cat_max_ratio: expected float, got 'a'"),
        ({'type': 'RareClassCrop', **CROP, 'classes': ['cta']}, "'cta' is neither a class name nor a label"),
        ({'type': 'RareClassCrop', **CROP, 'classes': ['cta']}, "from 0 to 2; did you mean 'cat'?"),
        ({'type': 'RareClassCrop', **CROP, 'classes': [3]}, '3 is neither a class name nor a label from 0 to 2'),
        ({'type': 'RareClassCrop', **CROP, 'classes': 'cat'}, "classes: expected Sequence[int | str], got 'cat'"),
        ({'type': 'RareClassCrop', **CROP, 'classes': []}, 'classes must be a list of names or labels'),
        ({'type': 'KeepRatioResize', 'img_scale': 64}, 'img_scale: expected Sequence[int]'),
        ({'type': 'KeepRatioResize', 'img_scale': '64,48'}, "got '64,48'"),
        ({'type': 'KeepRatioResize', 'img_scale': [64, 48.5]}, 'got [64, 48.5]'),
        ({'type': 'KeepRatioResize', 'img_scale': []}, 'or a list of such pairs, got []'),
        (
            {'type': 'KeepRatioResize', 'ratio_range': []},
            'ratio_range must be [min, max], two numbers of at least 0, got []',
        ),
        ({'type': 'KeepRatioResize', 'ratio_range': [0.5]}, 'got [0.5]'),
        ({'type': 'KeepRatioResize', 'ratio_range': [2, 0.5]}, 'got [2.0, 0.5]'),
        ({'type': 'PhotoMetricDistortion', 'contrast_range': [1.5]}, 'contrast_range must be [min, max]'),
        ({'type': 'PhotoMetricDistortion', 'saturation_range': [2, 1]}, 'saturation_range must be [min, max]'),
        ({'type': 'PhotoMetricDistortion', 'hue_delta': 18.5}, 'hue_delta: expected int, got 18.5'),
    ],
)
def test_a_value_that_a_transform_cannot_take_is_named_before_training(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_pipeline([spec], 'key', classes=CLASSES)
    assert str(error.value).startswith(('key.0.', f'key.0: {spec["type"]} cannot be built: '))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'type': 'LoadAnnotations'}, 'LoadAnnotations is not needed: images and masks are read before'),
        ({'type': 'Normalize', 'mean': [1, 2, 3]}, 'with model.mean and model.std; remove it'),
        ({'class_path': 'albumentations.pytorch.ToTensorV2'}, 'become tensors of a batch after the transforms'),
        ({'class_path': 'mmseg.datasets.pipelines.Collect', 'init_args': {'keys': ['img']}}, 'remove it'),
        ({'type': 'RandomFlip', 'prob': 0.5}, "RandomFlip is mmseg's: use HorizontalFlip"),
        ({'type': 'Resize', 'img_scale': [64, 48]}, "Resize with img_scale is mmseg's: use KeepRatioResize"),
        ({'type': 'RandomCrop', 'crop_size': [64, 48]}, "RandomCrop with crop_size is mmseg's: use CatMaxRatioCrop"),
        ({'type': 'Pad', 'size': [64, 48], 'pad_val': 0}, "Pad with pad_val, size is mmseg's: use PadTo"),
        ({'type': 'MultiScaleFlipAug', 'transforms': []}, 'TestTimeAugmentation'),
    ],
)
def test_a_transform_of_mmsegs_pipelines_is_answered_with_what_to_do(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build_pipeline([{'type': 'HorizontalFlip'}, spec], 'data.train_transforms')
    assert str(error.value).startswith('data.train_transforms.1: ')
    assert message in str(error.value)
    assert error.value.key == 'data.train_transforms.1'


class Widened(A.ImageOnlyTransform):
    """A user's own transform of a name that albumentations uses for another thing."""

    def apply(self, img: np.ndarray, **_: object) -> np.ndarray:
        return np.pad(img, ((0, 0), (0, 1), (0, 0)))


Scaled = type('Scaled', (A.ImageOnlyTransform,), {'apply': lambda _self, img, **_: img / 255})
Normalize = type('Normalize', (A.ImageOnlyTransform,), {'apply': lambda _self, img, **_: 255 - img})


def test_a_users_own_transform_may_have_any_name() -> None:
    pipeline = build_pipeline([{'class_path': f'{__name__}.Normalize', 'p': 1.0}], 'key')
    assert (pipeline(image=np.zeros((2, 2, 3), np.uint8))['image'] == 255).all()


@pytest.mark.parametrize(
    ('spec', 'message'),
    [
        ({'type': 'ToGray', 'num_output_channels': 1, 'p': 1.0}, 'return the image x.png as uint8 [6, 8]'),
        ({'class_path': f'{__name__}.Scaled', 'p': 1.0}, 'return the image x.png as float64 [6, 8, 3]'),
        ({'class_path': f'{__name__}.Widened', 'p': 1.0}, 'return the mask x.png as uint8 [6, 8]'),
    ],
)
def test_invalid_outputs_of_transforms_are_rejected_at_the_first_sample(spec: dict[str, Any], message: str) -> None:
    image = np.zeros((6, 8, 3), np.uint8)
    with pytest.raises(DataError) as error:
        apply(build_pipeline([spec], 'key'), {'image': image, 'mask': image[..., 0]}, (1,), 'x.png')
    assert message in str(error.value)
    assert 'model.mean and model.std' in str(error.value)


SIZED = {'min_height': 40, 'min_width': 50}


@pytest.mark.parametrize(
    'spec',
    [
        {'type': 'Resize', 'height': 20, 'width': 30},
        {'type': 'RandomScale', 'scale_limit': 0.5},
        {'type': 'LongestMaxSize', 'max_size': 64},
        {'type': 'SmallestMaxSize', 'max_size': 64},
        {'type': 'KeepRatioResize', 'img_scale': [64, 30]},
        {'type': 'PadTo', 'size_divisor': 32},
        {'type': 'PadTo', 'size_divisor': 32, 'fill_mask': 255},
        {'type': 'PadTo', 'size_divisor': 32, 'fill_mask': 0},
        {'type': 'PadIfNeeded', **SIZED, 'position': 'top_left', 'fill_mask': 255},
        {'type': 'PadIfNeeded', **SIZED, 'position': 'top_left', 'border_mode': cv2.BORDER_REFLECT_101},
        {'type': 'GaussianBlur'},
        {'type': 'CenterCrop', 'height': 20, 'width': 20},
        {'type': 'RandomResizedCrop', 'size': [30, 40]},
        {'type': 'HorizontalFlip'},
        {'type': 'D4'},
        {'type': 'RandomRotate90'},
        {'type': 'Rotate'},
        {'type': 'Affine', 'scale': 0.8},
        {'type': 'Perspective'},
        {'type': 'CoarseDropout'},
        {'type': 'CropAndPad', 'px': 3},
    ],
    ids=str,
)
@pytest.mark.parametrize('inside', [False, True], ids=['alone', 'inside'])
def test_evaluation_takes_the_transforms_that_leave_the_whole_image_in_place(
    spec: dict[str, Any], inside: bool
) -> None:
    """A transform is taken exactly where the content, as it is measured, shows the same ramps as the image."""
    specs = [{'type': 'OneOf', 'transforms': [{**spec, 'p': 1.0}], 'p': 1.0}] if inside else [{**spec, 'p': 1.0}]
    ramp = np.stack([*np.mgrid[60:180:4, 40:240:5], np.full((30, 40), 100)], -1).astype(np.uint8)

    def leaves_it(pipeline: A.Compose) -> bool:
        for seed in range(8):
            try:
                image, (height, width) = transform_for_evaluation(pipeline, ramp, padding_label(3, 255), (seed,), 'x')
            except DataError:  # padding at the left
                return False
            expected = cv2.resize(ramp, (width, height)).astype(int)
            if np.abs(image[:height, :width] - expected).max() > 12 or image[height:].any() or image[:, width:].any():
                return False
        return True

    try:
        pipeline = build_pipeline(specs, 'data.val_transforms', classes=CLASSES, evaluation=True)
    except ConfigError as error:
        assert 'masks are not transformed' in str(error)
        assert not leaves_it(build_pipeline(specs, 'key', classes=CLASSES))
    else:
        assert leaves_it(pipeline)


def test_a_dropout_changes_the_mask_only_with_fill_mask_and_never_pads() -> None:
    image, mask = np.full((40, 60, 3), 200, np.uint8), np.ones((40, 60), np.uint8)
    for kind in ('CoarseDropout', 'GridDropout', 'Erasing'):
        for filled, labels in (({}, {1}), ({'fill_mask': 255}, {1, 255}), ({'fill_mask': 0}, {0, 1})):
            pipeline = build_pipeline([{'type': kind, 'p': 1.0, **filled}], 'key', classes=CLASSES)
            assert not may_pad(pipeline)
            result = apply(pipeline, {'image': image, 'mask': mask}, (1,), 'x')
            assert set(np.unique(result['mask'])) == labels
            assert (result['image'] != 200).any()


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


GEOMETRIC: list[dict[str, Any]] = [
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
    pipeline = build_pipeline([GEOMETRIC[index] for index in chosen], 'key', classes=list('abcd'))
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[8:20, 10:26] = 3
    image = np.where(mask[..., None] == 3, np.array([20, 220, 20], np.uint8), np.array([220, 20, 20], np.uint8))
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


#: The value of the image for each label of its mask, so that a pixel shows where it comes from; 7 is a dropout's hole.
VALUES = np.zeros(256, dtype=np.uint8)
VALUES[[0, 1, 2, 255]] = [40, 90, 140, 250]
HOLE = 7
DROPOUTS = ('CoarseDropout', 'GridDropout')
EXACT = [
    {'type': 'Affine', 'rotate': [-40, 40], 'shear': [-20, 20], 'scale': [0.6, 1.5], 'interpolation': 0},
    {'type': 'Affine', 'translate_percent': [-0.3, 0.3], 'interpolation': 0, 'fill_mask': 255},
    {'type': 'Rotate', 'limit': 90, 'interpolation': 0},
    {'type': 'RandomScale', 'scale_limit': [-0.5, 0.5], 'interpolation': 0},
    {'type': 'PadIfNeeded', 'min_height': 44, 'min_width': 50},
    {'type': 'PadIfNeeded', 'min_height': 47, 'min_width': 49, 'position': 'random', 'fill_mask': 255},
    {'type': 'PadTo', 'size_divisor': 32, 'fill_mask': 255},
    {'type': 'RandomCrop', 'height': 24, 'width': 60, 'pad_if_needed': True},
    {'type': 'D4'},
    *({'type': name, 'fill': HOLE} for name in DROPOUTS),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(EXACT), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_albumentations_transforms_keep_alignment_and_mark_padding(chosen: list[dict[str, Any]], seed: int) -> None:
    """Without interpolation the label of each pixel follows from its value alone; only padding is black."""
    pipeline = build_pipeline([{**spec, 'p': 1.0} for spec in chosen], 'key', classes=CLASSES)
    mask = np.random.default_rng(seed).choice(np.array([0, 1, 2, 255], np.uint8), (6, 8)).repeat(5, 0).repeat(5, 1)
    result = apply(pipeline, {'image': VALUES[mask][..., None].repeat(3, 2), 'mask': mask}, (seed,), 'x')
    image, label = result['image'], result['mask']
    padding = label == padding_label(3, 255)
    seen = ~padding & (image[..., 0] != HOLE)
    assert set(np.unique(label[~padding])) <= {0, 1, 2, 255}
    assert (image[seen] == VALUES[label[seen]][:, None]).all()
    assert np.isin(image[padding], (0, HOLE)).all()
    assert not padding.any() or not all(spec['type'] in ('RandomScale', 'D4', *DROPOUTS) for spec in chosen)


def test_rare_classes_are_found_by_name_or_label() -> None:
    for given_classes in (['cat', 'dog'], [1, 'dog'], [1, 2]):
        spec = {'type': 'RareClassCrop', 'height': 8, 'width': 8, 'classes': given_classes}
        assert build_pipeline([spec], 'key', classes=CLASSES)[0].classes == [1, 2]


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
