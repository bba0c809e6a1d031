"""Convert a checkpoint of this project to one that mmseg loads."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from seglight.checkpoints.from_mmseg import PREFIX
from seglight.config.mmseg.file import parse_mmseg_config
from seglight.config.mmseg.pipeline import RESIZE
from seglight.config.settings import without_tuples
from seglight.errors import ConfigError, UsageError, warn
from seglight.models.adapters.timm import size_options
from seglight.models.normalisation import IMAGENET_MEAN, IMAGENET_STD
from seglight.models.parts import Part
from seglight.models.recipe import Recipe
from seglight.models.without_losses import plainest_loss
from seglight.palette import default_palette

# isort: split
import mmcv
import mmseg
from mmseg.models import backbones, decode_heads, losses, necks, segmentors

#: Where mmseg has its classes; its registries have those of this project, too.
_KINDS = (backbones, decode_heads, losses, necks, segmentors)


def mmseg_config(settings: dict[str, Any]) -> mmcv.Config:
    """Return a config with which mmseg tests a model like seglight.

    Args:
        settings: the resolved config in a checkpoint, with `model` and `data`.

    Raises:
        ConfigError: for a setting or a validation transform without an equivalent in mmseg.
    """
    model, data = settings.get('model') or {}, settings.get('data') or {}
    if not isinstance(model.get('segmentor'), dict) or not isinstance(data.get('classes'), list):
        raise UsageError('the config in the checkpoint names no model and classes, so it cannot be exported')
    test_cfg = model['segmentor'].get('test_cfg') or {}
    if test_cfg.get('mode') == 'slide' and test_cfg.get('blend', 'mean') != 'mean':
        raise ConfigError('model.segmentor.test_cfg.blend', 'is not supported by mmseg, whose masks would differ')
    if data.get('image_range') is not None:
        raise ConfigError('data.image_range', 'is not supported by mmseg, whose masks would differ')
    classes = list(data['classes'])
    segmentor = _known(model['segmentor']).for_data(len(classes), _ignored(data)).model
    normalize = {'mean': model.get('mean') or IMAGENET_MEAN, 'std': model.get('std') or IMAGENET_STD, 'to_rgb': True}
    pipeline = test_pipeline(data.get('val_transforms') or [], normalize)
    val = data['val'] if isinstance(data.get('val'), str) else 'val'
    test = {
        'type': 'CustomDataset',
        'data_root': data.get('root') or '.',
        'img_dir': f'{data.get("img_dir") or "img_dir"}/{val}',
        'ann_dir': f'{data.get("ann_dir") or "ann_dir"}/{val}',
        'classes': classes,
        'palette': data.get('palette') or default_palette(len(classes)),
        'ignore_index': _ignored(data),
        'reduce_zero_label': _reduces(data),
        'pipeline': pipeline,
    }
    config = mmcv.Config({'model': segmentor, 'test_pipeline': pipeline, 'data': {'val': test, 'test': test}})
    _check_text(config)
    return config


def _known(segmentor: dict[str, Any]) -> Recipe:
    """Return the recipe of a model dict that mmseg can build: with its plainest loss in place of each that it lacks.

    Raises:
        ConfigError: for another class that mmseg does not have.
    """
    recipe = Recipe(segmentor).without_pretrained()  # a copy
    for part in recipe.parts:
        if _has(part) or 'loss_decode' in part.path[:-1]:  # within a loss
            continue
        if part.role != 'loss':
            raise ConfigError(
                f'{part.key}.type', f'is {part.type_name}, which mmseg does not have; use another --format'
            )
        head = part.parent.values if part.parent else {}
        name = part.type_name or part.values['class_path']
        warn(f'export: {part.key} is {name}, which mmseg does not have: its config has the loss CrossEntropyLoss')
        part.values.clear()
        part.values.update(plainest_loss(head))
    return recipe


def _has(part: Part) -> bool:
    """Return whether mmseg has the class of a part; its layers, such as `BN`, are mmcv's.

    Of timm's backbones it runs convolutional ones: sizes and orders of axes of transformers are handled here.
    """
    scope, _, name = part.type_name.rpartition('.')
    if part.has_class_path or 'class_path' in part.values:
        return False
    if name == 'TIMMBackbone':
        of_transformer = 'img_size' in part.values or size_options(part.values)
        return not part.values.get('with_cp') and not of_transformer
    return part.cls is None or scope == 'mmcls' or any(hasattr(kind, name) for kind in _KINDS)


def _check_text(config: mmcv.Config) -> None:
    """Check that the text of the config has the same values, since mmcv quotes strings without escaping them.

    Raises:
        UsageError: if it does not; mmseg would run that text.
    """
    try:
        is_equal = parse_mmseg_config(config.pretty_text, 'the text') == without_tuples(config._cfg_dict.to_dict())
    except Exception:  # including yapf's errors
        is_equal = False
    if not is_equal:
        raise UsageError('export: a name or a path in the config contains quotes that mmcv cannot write')


def mmseg_checkpoint(entries: dict[str, Any], config: mmcv.Config) -> dict[str, Any]:
    """Return a checkpoint in the format of mmcv's runners: weights, and `meta` with config, classes and palette.

    Args:
        entries: a checkpoint of this project.
        config: from `mmseg_config`.
    """
    weights = {
        name.removeprefix(PREFIX): value.clone()
        for name, value in entries['state_dict'].items()
        if name.startswith(PREFIX)
    }
    meta = {
        'CLASSES': tuple(config.data.test.classes),
        'PALETTE': [list(colour) for colour in config.data.test.palette],
        'config': config.pretty_text,
        'epoch': entries.get('epoch', -1) + 1,
        'iter': entries.get('global_step', 0),
        'mmcv_version': mmcv.__version__,
        'mmseg_version': mmseg.__version__,
    }
    return {'meta': meta, 'state_dict': weights}


#: Values of arguments with which a transform resizes as mmseg does; a resolved config spells out defaults.
_NEUTRAL: dict[str, Container[Any]] = {
    'p': (1,),
    'interpolation': (1,),  # bilinear
    'mask_interpolation': range(8),  # without effect on images
    'area_for_downscale': (None,),
    'ratio_range': (None,),
    'multiscale_mode': ('range', 'value'),  # without effect on a single scale
}


def test_pipeline(transforms: list[dict[str, Any]], normalize: dict[str, Any]) -> list[dict[str, Any]]:
    """Return mmseg's test pipeline for the validation transforms.

    Args:
        transforms: `data.val_transforms`: none, to test images at their own size, or one that resizes them to a fixed
            size as mmseg does.
        normalize: the arguments of mmseg's `Normalize`.

    Raises:
        ConfigError: for other transforms.
    """
    sizes: dict[str, Any] = {'img_scale': None, 'img_ratios': [1.0]}
    keep_ratio = True
    for transform in transforms:
        resize = _resize(transform) if len(transforms) == 1 else None
        if resize is None:
            message = f"has {_name(transform)}, which mmseg's test pipelines do not support; masks would differ"
            raise ConfigError('data.val_transforms', message)
        sizes, keep_ratio = {'img_scale': resize[0]}, resize[1]
    return [
        {'type': 'LoadImageFromFile'},
        {
            'type': 'MultiScaleFlipAug',
            **sizes,
            'flip': False,
            'transforms': [
                {'type': 'Resize', 'keep_ratio': keep_ratio},
                {'type': 'Normalize', **normalize},
                {'type': 'ImageToTensor', 'keys': ['img']},
                {'type': 'Collect', 'keys': ['img']},
            ],
        },
    ]


def _name(transform: dict[str, Any]) -> str:
    return str(transform.get('type') or transform.get('class_path')).rpartition('.')[2]


def _resize(transform: dict[str, Any]) -> tuple[tuple[int, int], bool] | None:
    """Return `img_scale` and `keep_ratio` of mmseg's `Resize` if it does the same as a transform, else None."""
    given = transform.get('init_args') or {name: value for name, value in transform.items() if name != 'type'}
    arguments = {name: value for name, value in given.items() if name not in _NEUTRAL or value not in _NEUTRAL[name]}
    scale = arguments.get('img_scale')
    if _name(transform) == RESIZE.rpartition('.')[2] and arguments.keys() <= {'img_scale', 'keep_ratio'} and scale:
        return None if isinstance(scale[0], list) else ((scale[0], scale[1]), arguments.get('keep_ratio', True))
    if _name(transform) == 'Resize' and arguments.keys() == {'height', 'width'}:
        return (arguments['width'], arguments['height']), False
    return None


def _ignored(data: dict[str, Any]) -> int:
    """Return the ignored label."""
    label = data.get('ignore_index')
    return 255 if label is None else int(label)


def _reduces(data: dict[str, Any]) -> bool:
    """Return whether label 0 of the validation masks is ignored and the others are decreased by one."""
    val = data.get('val')
    own = val.get('init_args', val).get('reduce_zero_label') if isinstance(val, dict) else None
    return bool(data.get('reduce_zero_label') if own is None else own)
