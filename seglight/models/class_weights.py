"""Class weights read from a file that the config names: plain numbers, never unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from seglight.errors import ConfigError, one_line
from seglight.models.parts import Part

#: Accepted suffixes of a file of weights.
SUFFIXES = ('.npy', '.json', '.yaml', '.yml')

#: Maximum size of a file of weights in bytes; ample for 255 classes.
_MAX_BYTES = 100_000


def names_file(part: Part) -> bool:
    """Return whether the `class_weight` of a part is an existing path; the checks report a missing file."""
    weights = part.values.get('class_weight')
    return isinstance(weights, str) and Path(weights).expanduser().exists()


def read_weights(part: Part) -> None:
    """Replace a `class_weight` that names a file with the numbers in that file.

    mmseg would read the file with `mmcv.load`, which downloads URLs and unpickles.

    Raises:
        ConfigError: if the file has another suffix than `SUFFIXES`, or does not hold a list of numbers.
    """
    if names_file(part):
        file = Path(part.values['class_weight']).expanduser()
        part.values['class_weight'] = _read(file, f'{part.key}.class_weight')


def _read(file: Path, key: str) -> list[float]:
    """Return the numbers in a file."""
    if file.suffix.lower() not in SUFFIXES or not file.is_file():
        raise ConfigError(key, f'must be a file ending in {", ".join(SUFFIXES)}, got {file}')
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError(f'it has more than {_MAX_BYTES} bytes')
        values = _load(file)
    except (OSError, ValueError, EOFError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(key, f'{file} cannot be read: {one_line(error)}') from error
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise ConfigError(key, f'{file} must hold a list of numbers')
    return [float(value) for value in values]


def _load(file: Path) -> Any:
    if file.suffix.lower() == '.npy':
        return np.load(file, mmap_mode='r', allow_pickle=False).tolist()  # mapped: a false size in the header fails
    text = file.read_text(encoding='utf-8')
    return json.loads(text) if file.suffix.lower() == '.json' else yaml.safe_load(text)
