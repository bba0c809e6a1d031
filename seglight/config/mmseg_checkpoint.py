"""Checkpoints of mmseg's own training, under the entries that this project's checkpoints have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seglight.config.mmseg_file import parse_mmseg_config
from seglight.config.settings import dicts
from seglight.config.zoo import model_settings
from seglight.errors import CheckpointError, ConfigError, one_line

#: What the files of mmseg's training end with.
SUFFIX = '.pth'

#: What mmseg's weights are called inside of `seglight.models.Segmentor`.
PREFIX = 'segmentor.'

#: The transform that resizes as mmseg does.
RESIZE = 'seglight.data.augmentations.KeepRatioResize'


def is_mmseg_checkpoint(path: Path) -> bool:
    """Tell whether a file is read as a checkpoint of mmseg."""
    return path.suffix == SUFFIX


def read_mmseg_checkpoint(path: Path) -> dict[str, Any]:
    """Load the weights of a segmentor, and the config, the classes and the palette in their `meta`.

    Returns:
        `state_dict`, and where they are known `config` (YAML text), `epoch` and `global_step`.

    Raises:
        CheckpointError: if the file is damaged, would need code to be loaded, or holds no weights, or
            a config that is more than values.
    """
    from seglight.weight_files import read_file, state_dict  # late: it loads torch

    entries = read_file(path)
    weights = {name.removeprefix('module.'): value for name, value in state_dict(entries, path).items()}
    found: dict[str, Any] = {'state_dict': {f'{PREFIX}{name}': value for name, value in weights.items()}}
    meta = entries.get('meta') if isinstance(entries, Mapping) else None
    if not isinstance(meta, Mapping):
        return found
    if isinstance(meta.get('config'), str):
        try:
            found['config'] = yaml.safe_dump(_settings(meta, path), sort_keys=False)
        except (TypeError, ValueError, AttributeError, LookupError, RecursionError, yaml.YAMLError) as error:
            raise CheckpointError(
                f'{path} has a config or a meta that mmseg does not write: {one_line(error)}'
            ) from error
    for name, key, first in (('epoch', 'epoch', 1), ('global_step', 'iter', 0)):
        if isinstance(meta.get(key), int):
            found[name] = meta[key] - first
    return found


def _settings(meta: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return what a checkpoint's `meta` says, as settings of this project.

    Raises:
        CheckpointError: if the config cannot be read, or the classes are not told.
    """
    try:
        config = parse_mmseg_config(meta['config'], f'the config in {path}')
        values = model_settings(config)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    if any(part.get('to_rgb') is False for _, part in dicts([config.get('train_pipeline'), config.get('data')])):
        raise CheckpointError(f'{path} was trained on BGR images (to_rgb=False), and images are RGB here')
    model = values['model']['segmentor']
    del model['_delete_']
    for name in ('train_cfg', 'test_cfg'):  # configs before mmseg 0.12 have them beside the model
        if config.get(name) is not None:
            model.setdefault(name, config[name])
    classes = meta.get('CLASSES')
    if not isinstance(classes, (list, tuple)):
        raise CheckpointError(f'{path} does not name its classes; give --config with data.classes')
    values['data'] = {'classes': [str(name) for name in classes], 'val_transforms': _test_transforms(config)}
    if meta.get('PALETTE') is not None:
        values['data']['palette'] = [[int(channel) for channel in colour] for colour in meta['PALETTE']]
    return values


def _test_transforms(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how the test pipeline of a config of mmseg resizes an image."""
    test = (config.get('data') or {}).get('test') or {}
    pipeline = test.get('pipeline') or config.get('test_pipeline') or []
    for _, part in dicts(pipeline):
        scale = part.get('img_scale')
        if part.get('type') == 'MultiScaleFlipAug' and scale is not None:
            scales = scale if isinstance(scale[0], list) else [scale]
            resize = next((each for _, each in dicts(part) if each.get('type') == 'Resize'), {})
            arguments = {'img_scale': scales[0], 'keep_ratio': resize.get('keep_ratio', True)}
            return [{'class_path': RESIZE, 'init_args': arguments}]
    return []
