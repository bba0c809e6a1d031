"""Weights of classes from a file that the user's config names: numbers alone, read without unpickling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from seglight.errors import ConfigError, one_line
from seglight.models.parts import Part

#: How a file of weights may end.
SUFFIXES = ('.npy', '.json', '.yaml', '.yml')

#: Bytes of a file of weights for 255 classes, with room to spare.
_MOST_BYTES = 100_000


def names_file(part: Part) -> bool:
    """Tell whether the `class_weight` of a part is the path of something; a missing file is an error of the checks."""
    weights = part.values.get('class_weight')
    return isinstance(weights, str) and Path(weights).expanduser().exists()


def read_weights(part: Part) -> None:
    """Replace the file that a `class_weight` names by its numbers.

    mmseg would read these files by `mmcv.load`, which fetches addresses and unpickles.

    Raises:
        ConfigError: for a file that is none of `SUFFIXES`, or holds anything but a list of numbers.
    """
    if names_file(part):
        file = Path(part.values['class_weight']).expanduser()
        part.values['class_weight'] = _read(file, f'{part.key}.class_weight')


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
