"""Convert the entries of mmseg's own checkpoints to those of this project's checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seglight.config.class_names import OF_DATA
from seglight.config.mmseg.file import parse_mmseg_config
from seglight.config.mmseg.model_and_schedule import model_settings
from seglight.config.mmseg.pipeline import data_settings, not_taken_over
from seglight.config.settings import dicts
from seglight.errors import CheckpointError, ConfigError, one_line
from seglight.weight_files import state_dict

#: The suffix of mmseg's checkpoints.
SUFFIX = '.pth'

#: The entry that lists the test settings of the stored config that are not supported.
NOT_TAKEN_OVER = 'not_taken_over'

#: The prefix of mmseg's weights in `seglight.models.Segmentor`.
PREFIX = 'segmentor.'


def mmseg_entries(contents: Any, path: Path) -> dict[str, Any]:
    """Return the weights of a segmentor, and the settings in the file's `meta`.

    Args:
        contents: the contents of the file.
        path: its path, for errors.

    Returns:
        `state_dict`, and if known `config` (YAML text), `hyper_parameters`, `epoch` and `global_step`.

    Raises:
        CheckpointError: if it contains no weights, or its config contains anything but values.
    """
    weights = {name.removeprefix('module.'): value for name, value in state_dict(contents, path).items()}
    found: dict[str, Any] = {'state_dict': {f'{PREFIX}{name}': value for name, value in weights.items()}}
    meta = contents.get('meta') if isinstance(contents, Mapping) else None
    if not isinstance(meta, Mapping):
        return found
    if isinstance(meta.get('config'), str):
        try:
            config = _config(meta, path)
            settings = _settings(config, meta, path)
            found['config'] = yaml.safe_dump(settings, sort_keys=False)
            found['hyper_parameters'] = settings['model'] | {name: settings['data'].get(name) for name in OF_DATA}
            found[NOT_TAKEN_OVER] = not_taken_over(config)
        except (*_INVALID, yaml.YAMLError) as error:
            raise CheckpointError(f'{path} has an invalid config or meta: {one_line(error)}') from error
    for name, key, first in (('epoch', 'epoch', 1), ('global_step', 'iter', 0)):
        if isinstance(meta.get(key), int):
            found[name] = meta[key] - first
    return found


#: What values of wrong types, or too large or too deep, raise where they are converted.
_INVALID = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)


def _config(meta: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the config in a checkpoint's `meta`.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        return parse_mmseg_config(meta['config'], f'the config in {path}')
    except ConfigError as error:
        raise CheckpointError(str(error)) from error


def _settings(config: dict[str, Any], meta: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Convert a checkpoint's config and `meta` to settings of this project.

    Raises:
        CheckpointError: if the config has no model, images were not RGB, or the classes are missing.
    """
    try:
        values = model_settings(config)
    except ConfigError as error:
        raise CheckpointError(str(error)) from error
    steps = [part for _, part in dicts([config.get('train_pipeline'), config.get('data')])]
    if any(part.get('to_rgb') is False for part in steps):
        raise CheckpointError(f'{path} was trained on BGR images (to_rgb=False), but seglight uses RGB images')
    loads = any(part.get('type') == 'LoadImageFromFile' for part in steps)
    if loads and not any(part.get('type') == 'Normalize' for part in steps):
        raise CheckpointError(
            f'{path} was trained on BGR images (its pipeline has no Normalize), but seglight uses RGB images'
        )
    model = values['model']['segmentor']
    del model['_delete_']
    for name in ('train_cfg', 'test_cfg'):  # before mmseg 0.12, configs have them next to the model
        if config.get(name) is not None:
            model.setdefault(name, config[name])
    classes = meta.get('CLASSES')
    if not isinstance(classes, (list, tuple)):
        raise CheckpointError(f'{path} does not name its classes; give --config with data.classes')
    values['data'] = {'classes': [str(name) for name in classes], **data_settings(config)}
    if meta.get('PALETTE') is not None:
        values['data']['palette'] = [[int(channel) for channel in colour] for colour in meta['PALETTE']]
    return values
