"""What a stranger's transforms may cost is known from their arguments."""

import inspect
from typing import Any

import pytest

from seglight.checkpoints.cost import highest, runs, transform_fault, window_fault
from seglight.checkpoints.data_checks import check_transforms
from seglight.checkpoints.plain_checks import Refused
from seglight.data.transforms import NAMES

KEY = ('data', 'val_transforms')

COSTLY: dict[str, dict[str, Any]] = {
    'data.val_transforms.0.height': {'type': 'Resize', 'height': 8000, 'width': 8000},
    'data.val_transforms.0.min_height': {'type': 'PadIfNeeded', 'min_height': 8192, 'min_width': 8192},
    'data.val_transforms.0.img_scale': {'type': 'KeepRatioResize', 'img_scale': [[512, 512], [8000, 8000]]},
    'data.val_transforms.0.ratio_range.1': {'type': 'KeepRatioResize', 'img_scale': [512, 512], 'ratio_range': [1, 99]},
    'data.val_transforms.0.max_size': {'type': 'SmallestMaxSize', 'max_size': 8192},
    'data.val_transforms.0.scale_limit': {'type': 'RandomScale', 'scale_limit': 1000},
    'data.val_transforms.0.percent': {'type': 'CropAndPad', 'percent': 50},
    'data.val_transforms.0.px': {'type': 'CropAndPad', 'px': 8000},
    'data.val_transforms.0.size_divisor': {'type': 'PadTo', 'size_divisor': 8192},
    'data.val_transforms.0.iterations': {'type': 'GlassBlur', 'iterations': 100},
    'data.val_transforms.0.mode': {'type': 'GlassBlur', 'mode': 'exact'},
    'data.val_transforms.0.blur_limit': {'type': 'MotionBlur', 'blur_limit': 8001},
    'data.val_transforms.0.step_factor': {'type': 'ZoomBlur', 'step_factor': 1e-9},
    'data.val_transforms.0.grid.0': {'type': 'RandomGridShuffle', 'grid': [5000, 5000]},
    'data.val_transforms.0.num_steps': {'type': 'GridDistortion', 'num_steps': 5000},
    'data.val_transforms.0.nb_rows': {'type': 'PiecewiseAffine', 'nb_rows': 5000},
    'data.val_transforms.0.tile_grid_size.0': {'type': 'CLAHE', 'tile_grid_size': [5000, 5000]},
    'data.val_transforms.0.transforms.0.radius': {'type': 'OneOf', 'transforms': [{'type': 'Defocus', 'radius': 999}]},
    'data.val_transforms': {'type': 'SomeOf', 'n': 50, 'transforms': [{'type': 'PiecewiseAffine'}]},
}


@pytest.mark.parametrize('key', COSTLY)
def test_what_takes_long_or_much_memory_is_refused(key: str) -> None:
    with pytest.raises(Refused) as caught:
        check_transforms([COSTLY[key]], KEY)
    assert '.'.join(caught.value.key) == key


def test_the_defaults_of_every_transform_pass() -> None:
    for name, cls in NAMES.items():
        if not inspect.isclass(cls):
            continue
        for argument, parameter in inspect.signature(cls).parameters.items():
            value = parameter.default
            numbers = value if isinstance(value, (list, tuple)) else [value]
            for number in numbers:
                if isinstance(number, (int, float)):
                    assert abs(number) <= highest(argument), (name, argument)
        assert runs({'type': name}) <= 20


def test_usual_pipelines_pass() -> None:
    specs = [
        {'type': 'KeepRatioResize', 'img_scale': [[2048, 512], [2048, 1024]], 'multiscale_mode': 'value'},
        {'type': 'KeepRatioResize', 'img_scale': [4096, 1024], 'ratio_range': [0.5, 2.0]},
        {'type': 'PadTo', 'height': 1024, 'width': 2048},
        {'type': 'ElasticTransform', 'alpha': 120, 'sigma': 6},
        {'type': 'Normalize', 'max_pixel_value': 65535.0},
        {'type': 'OneOf', 'transforms': [{'type': 'GlassBlur'}, {'type': 'GaussianBlur', 'blur_limit': [3, 31]}]},
    ]
    check_transforms(specs, KEY)
    assert transform_fault({'img_scale': [2048, 1024]}) is None


@pytest.mark.parametrize(
    ('crop', 'stride', 'fault'),
    [
        ([512, 512], [341, 341], None),
        ([512, 512], [64, 64], None),
        (512, 256, None),
        ([512, 512], [32, 32], 'crop_size must be at most 8 times the stride, got 512 and 32'),
        ([4, 4], [4, 4], 'stride must be at least 8, got 4'),
        ([512, 512], [341, 1], 'stride must be at least 8, got 1'),
        ([512, 512], [0, 0], 'stride must be at least 8, got 0'),
        ('x', None, None),
    ],
)
def test_windows(crop: Any, stride: Any, fault: str | None) -> None:
    assert window_fault({'crop_size': crop, 'stride': stride}) == fault
