"""Translate the pipelines of mmseg's configs to transforms of `data` and to test-time augmentation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seglight.config.mmseg.pipeline import augmented_test, flip_directions, view_sizes
from seglight.errors import ConfigError

#: Steps without an equivalent transform: files, normalisation and batches are not part of `data.train_transforms`.
WITHOUT_TRANSFORM = frozenset(
    {'LoadImageFromFile', 'LoadAnnotations', 'Normalize', 'DefaultFormatBundle', 'ImageToTensor', 'Collect'}
)

#: What replaces the steps of mmseg that are not translated.
_INSTEAD = {
    'AdjustGamma': "albumentations' RandomGamma",
    'CLAHE': "albumentations' CLAHE",
    'RandomCutOut': "albumentations' CoarseDropout",
    'RandomMosaic': 'Mosaic to data.mixes',
    'Rerange': 'model.mean and model.std',
    'ResizeToMultiple': 'PadTo with size_divisor',
    'RGB2Gray': "albumentations' ToGray",
    'SegRescale': 'KeepRatioResize',
}

Transform = dict[str, Any]


def train_transforms(pipeline: Any, key: str) -> list[Transform]:
    """Return the transforms of a training pipeline, in its order.

    Args:
        pipeline: the list of steps.
        key: its key in the config, for errors.

    Raises:
        ConfigError: names the first step, or argument of one, that is not translated.
    """
    if not isinstance(pipeline, list):
        raise ConfigError(key, f'must be a list of steps, got {pipeline!r:.60}')
    return [found for index, step in enumerate(pipeline) if (found := _transform(step, f'{key}.{index}')) is not None]


def tta_callback(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the callback that predicts the views of the test pipeline, None if there is only one view."""
    augmented = augmented_test(config)
    if augmented is None:
        return None
    flips = flip_directions(augmented) if augmented.get('flip') else []
    _, scales = view_sizes(augmented)
    return {'class_path': 'seglight.callbacks.TestTimeAugmentation', 'init_args': {'scales': scales, 'flips': flips}}


def _transform(step: Any, key: str) -> Transform | None:
    """Return the transform of a step, None if it needs none."""
    if not isinstance(step, dict) or not isinstance(step.get('type'), str):
        raise ConfigError(key, f'must be a dict with a type, got {step!r:.60}')
    arguments = {name: value for name, value in step.items() if name != 'type'}
    name = step['type'].removeprefix('mmseg.')
    if name in WITHOUT_TRANSFORM:
        return None
    translate = _STEPS.get(name)
    if translate is None:
        instead = _INSTEAD.get(name, 'a transform of albumentations')
        where = '' if ' to ' in instead or 'model.' in instead else ' to data.train_transforms'
        raise ConfigError(
            key,
            f'is {name}, which seglight does not have; remove it, and add {instead}{where} in a YAML file that names '
            'this file in _base_',
        )
    known, translated = translate
    unknown = sorted(arguments.keys() - known)
    if unknown:
        raise ConfigError(key, f'has {unknown[0]} of {name}, which seglight does not have; remove it')
    try:
        return translated(arguments)
    except (TypeError, ValueError, LookupError) as error:
        raise ConfigError(key, f'has wrong arguments of {name}: {error!r:.80}') from error


def _resize(given: Transform) -> Transform:
    _check_equal(given, min_size=None)
    return {'type': 'KeepRatioResize', **{name: value for name, value in given.items() if name != 'min_size'}}


def _crop(given: Transform) -> Transform:
    _check_equal(given, ignore_index=255)
    height, width = _pair(given['crop_size'])
    return {
        'type': 'CatMaxRatioCrop',
        'height': height,
        'width': width,
        'cat_max_ratio': given.get('cat_max_ratio', 1.0),
    }


def _flip(given: Transform) -> Transform:
    names = {'horizontal': 'HorizontalFlip', 'vertical': 'VerticalFlip'}
    return {'type': names[given.get('direction', 'horizontal')], 'p': given.get('prob', given.get('flip_ratio', 0))}


def _pad(given: Transform) -> Transform:
    _check_equal(given, pad_val=0)
    label = given.get('seg_pad_val', 255)
    filled = {} if label == 255 else {'fill_mask': label}
    if given.get('size') is None:
        return {'type': 'PadTo', 'size_divisor': given['size_divisor'], **filled}
    height, width = _pair(given['size'])
    return {'type': 'PadTo', 'height': height, 'width': width, **filled}


def _rotate(given: Transform) -> Transform:
    degree = given['degree']
    limit = list(degree) if isinstance(degree, (list, tuple)) else [-degree, degree]
    if given.get('center') is not None or given.get('auto_bound'):
        raise ValueError('center and auto_bound must be left out')
    label = given.get('seg_pad_val', 255)
    rotated = {'type': 'Rotate', 'limit': limit, 'p': given['prob'], 'border_mode': 0, 'fill': given.get('pad_val', 0)}
    return rotated | ({} if label == 255 else {'fill_mask': label})


def _distort(given: Transform) -> Transform:
    return {'type': 'PhotoMetricDistortion', **given}


#: The steps that have an equivalent, with the arguments that are translated.
_STEPS: dict[str, tuple[frozenset[str], Callable[[Transform], Transform]]] = {
    'Resize': (frozenset({'img_scale', 'multiscale_mode', 'ratio_range', 'keep_ratio', 'min_size'}), _resize),
    'RandomCrop': (frozenset({'crop_size', 'cat_max_ratio', 'ignore_index'}), _crop),
    'RandomFlip': (frozenset({'prob', 'flip_ratio', 'direction'}), _flip),
    'Pad': (frozenset({'size', 'size_divisor', 'pad_val', 'seg_pad_val'}), _pad),
    'RandomRotate': (frozenset({'prob', 'degree', 'pad_val', 'seg_pad_val', 'center', 'auto_bound'}), _rotate),
    'PhotoMetricDistortion': (
        frozenset({'brightness_delta', 'contrast_range', 'saturation_range', 'hue_delta'}),
        _distort,
    ),
}


def _check_equal(given: Transform, **values: Any) -> None:
    """Reject arguments with other values than those that seglight has always."""
    for name, value in values.items():
        if given.get(name, value) != value:
            raise ValueError(f'{name} must be {value}')


def _pair(value: Any) -> tuple[int, int]:
    """Return a size as height and width."""
    if isinstance(value, int):
        return value, value
    height, width = value
    return height, width
