"""albumentations pipelines from configs."""

import albumentations as A
import numpy as np
import pytest

from seglight.data.transforms import build_pipeline
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
