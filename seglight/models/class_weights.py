"""Weights of classes from a file that the user's config names: numbers alone, read without unpickling."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from seglight.config.settings import dicts
from seglight.errors import ConfigError, one_line

#: How a file of weights may end.
SUFFIXES = ('.npy', '.json', '.yaml', '.yml')

#: Bytes of a file of weights for 255 classes, with room to spare.
_MOST_BYTES = 100_000


def with_read_weights(model: dict[str, Any]) -> dict[str, Any]:
    """Return the model dict with the numbers in each file that a `class_weight` names.

    mmseg would read these files by `mmcv.load`, which fetches addresses and unpickles.

    Raises:
        ConfigError: for a file that is none of `SUFFIXES`, or holds anything but a list of numbers.
    """
    if not any(_is_file(part.get('class_weight')) for _, part in dicts(model)):
        return model
    model = copy.deepcopy(model)
    for path, part in dicts(model, 'model.segmentor'):
        if _is_file(part.get('class_weight')):
            part['class_weight'] = _read(Path(part['class_weight']).expanduser(), f'{path}.class_weight')
    return model


def _is_file(value: Any) -> bool:
    """Tell whether a value is the path of something; what is not there is an error of the checks."""
    return isinstance(value, str) and Path(value).expanduser().exists()


def _read(file: Path, key: str) -> list[float]:
    """Return the numbers in a file."""
    if file.suffix.lower() not in SUFFIXES or not file.is_file():
        raise ConfigError(key, f'must be a file that ends with {", ".join(SUFFIXES)}, got {file}')
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError(f'it has more than {_MOST_BYTES} bytes')
        values = _load(file)
    except (OSError, ValueError, EOFError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(key, f'{file} cannot be read: {one_line(error)}') from error
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ConfigError(key, f'{file} must hold a list of numbers')
    return [float(value) for value in values]


def _load(file: Path) -> Any:
    if file.suffix.lower() == '.npy':
        return np.load(file, mmap_mode='r', allow_pickle=False).tolist()  # mapped: a size that is untrue is an error
    text = file.read_text(encoding='utf-8')
    return json.loads(text) if file.suffix.lower() == '.json' else yaml.safe_load(text)
