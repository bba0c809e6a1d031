"""Labels that transforms make up are an error, wherever they are written."""

from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import pytest

from seglight.data import SegmentationDataModule
from seglight.data.dataset import SegmentationDataset
from seglight.data.label_check import LabelCheck
from seglight.data.transforms import build_pipeline
from seglight.errors import ConfigError, DataError

CLASSES = ['a', 'b', 'c']


@pytest.mark.parametrize(
    'spec',
    [
        {'type': 'Resize', 'height': 32, 'width': 32, 'mask_interpolation': 1},
        {'type': 'Affine', 'rotate': [-20, 20], 'mask_interpolation': cv2.INTER_CUBIC},
        {'type': 'Rotate', 'mask_interpolation': 1},
        {'type': 'ElasticTransform', 'mask_interpolation': 4},
        {'type': 'RandomScale', 'mask_interpolation': 3},
        {'type': 'Compose', 'transforms': [{'type': 'Resize', 'height': 9, 'width': 9}], 'mask_interpolation': 1},
        {'type': 'OneOf', 'transforms': [{'type': 'Perspective', 'mask_interpolation': 1}]},
        {'class_path': 'albumentations.Resize', 'init_args': {'height': 9, 'width': 9, 'mask_interpolation': 5}},
        {'type': 'RandomScale', 'area_for_downscale': 'image_mask'},
        {'type': 'LongestMaxSize', 'max_size': 9, 'area_for_downscale': 'image_mask'},
        {'type': 'SmallestMaxSize', 'max_size': 9, 'area_for_downscale': 'image_mask'},
        {'type': 'Resize', 'height': 9, 'width': 9, 'area_for_downscale': 'image_mask'},
        {'type': 'RandomResizedCrop', 'size': [9, 9], 'area_for_downscale': 'image_mask'},
        {'type': 'RandomSizedCrop', 'min_max_height': [5, 9], 'size': [9, 9], 'area_for_downscale': 'image_mask'},
    ],
)
@pytest.mark.parametrize('evaluation', [False, True])
def test_interpolating_masks_is_rejected_with_the_key(spec: dict[str, Any], evaluation: bool) -> None:
    with pytest.raises(ConfigError, match=r'^data\.t\.0.* has \w+ \w+, which creates labels') as raised:
        build_pipeline([spec], 'data.t', evaluation=evaluation)
    assert raised.value.key.startswith('data.t.0')


@pytest.mark.parametrize('interpolation', [cv2.INTER_NEAREST, cv2.INTER_NEAREST_EXACT])
def test_nearest_neighbour_is_allowed(interpolation: int) -> None:
    build_pipeline([{'type': 'Resize', 'height': 9, 'width': 9, 'mask_interpolation': interpolation}], 'data.t')


def test_area_interpolation_of_the_image_alone_is_allowed() -> None:
    spec = {'type': 'RandomScale', 'scale_limit': [-0.5, -0.5], 'p': 1.0, 'area_for_downscale': 'image'}
    stripes = np.tile(np.array([0, 2, 2], np.uint8), (10, 4))
    result = build_pipeline([spec], 'data.t')(image=np.zeros((10, 12, 3), np.uint8), mask=stripes)
    assert set(np.unique(result['mask'])) == {0, 2}


def test_a_dropped_pixel_gets_a_class_or_is_ignored() -> None:
    with pytest.raises(ConfigError, match='mask_drop_value must be a label from 0 to 2 or 255, got 7'):
        build_pipeline([{'type': 'PixelDropout', 'mask_drop_value': 7}], 'data.t', classes=CLASSES)
    build_pipeline([{'type': 'PixelDropout', 'mask_drop_value': 255}], 'data.t', classes=CLASSES)


class Blending(A.DualTransform):
    """A transform as people write them, which forgets that masks are labels."""

    def apply(self, img: np.ndarray, **_: Any) -> np.ndarray:
        return cv2.GaussianBlur(img, (9, 9), 0)

    apply_to_mask = apply


class Drawing(Blending):
    """One that means what it does."""

    makes_labels = True


class Flipping(A.HorizontalFlip):
    """One that moves labels."""


def mask() -> np.ndarray:
    labels = np.zeros((40, 40), np.uint8)
    labels[:, 20:] = 2
    return labels


def test_labels_that_a_mask_does_not_have_are_an_error() -> None:
    blended = Blending(p=1)(image=np.zeros((40, 40, 3), np.uint8), mask=mask())['mask']
    assert set(np.unique(blended)) == {0, 1, 2}
    check = LabelCheck(A.Compose([Blending(p=1)]), 3, (255, 254))
    with pytest.raises(DataError, match=r'give the mask of x\.jpg the new label 1; Blending must not'):
        check(0, mask(), blended, 'x.jpg')
    LabelCheck(A.Compose([Drawing(p=1)]), 3, (255,))(0, mask(), blended, 'x.jpg')
    with pytest.raises(DataError, match='the new label 5, 6, 7'):
        LabelCheck(A.Compose([Drawing(p=1)]), 3, (255,))(0, mask(), blended + np.uint8(5), 'x.jpg')
    filled = A.Compose([A.OneOf([Flipping()]), A.Pad(8, fill_mask=1)])
    LabelCheck(filled, 3, (255,))(0, mask(), np.pad(mask(), 8, constant_values=1), 'x.jpg')


def test_a_custom_transform_that_interpolates_ends_training_with_one_line(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'own_transforms.py').write_text(
        'import albumentations as A, cv2\n'
        'class Soft(A.DualTransform):\n'
        '    def apply(self, img, **_):\n'
        '        return cv2.GaussianBlur(img, (9, 9), 0)\n'
        '    apply_to_mask = apply\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    classes = [str(label) for label in range(11)]
    module = SegmentationDataModule(
        classes,
        root=str(data_root),
        train_transforms=[{'class_path': 'own_transforms.Soft', 'init_args': {'p': 1.0}}],
        num_workers=2,
        batch_size=4,
    )
    module.setup('fit')
    with pytest.raises(
        DataError, match=r'The transforms of the config give the mask of .*jpg the new label .*; Soft must'
    ):
        list(module.train_dataloader())


def test_known_transforms_are_skipped_and_padding_is_allowed(data_root: Path) -> None:
    classes = [str(label) for label in range(11)]
    module = SegmentationDataModule(
        classes, root=str(data_root), train_transforms=[{'type': 'PadIfNeeded', 'min_height': 90, 'min_width': 90}]
    )
    module.setup('fit')
    dataset: SegmentationDataset = module.datasets['train']
    assert (np.asarray(dataset[0]['mask']) == 255).any()
