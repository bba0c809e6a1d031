"""Why mmseg could not build or initialise a model, in one sentence that names the place in the config."""

from __future__ import annotations

import re
import traceback
from typing import Any

from mmcv import ConfigDict
from mmcv.cnn import (
    ACTIVATION_LAYERS,
    CONV_LAYERS,
    INITIALIZERS,
    NORM_LAYERS,
    PADDING_LAYERS,
    PLUGIN_LAYERS,
    UPSAMPLE_LAYERS,
)
from mmseg.core.seg.builder import PIXEL_SAMPLERS
from mmseg.models.builder import MODELS

from seglight.config.settings import dicts, nearest
from seglight.errors import ConfigError, one_line
from seglight.models.checks import HEAD_KEYS
from seglight.models.pretrained import pretrained_address

#: What mmcv and mmseg say of a `type` that they do not know; both forms name its registry.
_UNKNOWN = re.compile(r'(\w+) is not in the ([\w ]+) registry|Unrecognized (\w+) type (\w+)')

_REGISTRIES = (
    MODELS,
    ACTIVATION_LAYERS,
    CONV_LAYERS,
    INITIALIZERS,
    NORM_LAYERS,
    PADDING_LAYERS,
    PIXEL_SAMPLERS,
    PLUGIN_LAYERS,
    UPSAMPLE_LAYERS,
)

_KEY = 'model.segmentor'


def explain(error: Exception, model: dict[str, Any]) -> ConfigError:
    """Say why mmseg could not build a model; for an unknown type, where it stands and what is like it."""
    path, cause = _failing_part(model, error)
    return _explain_unknown(cause, model) or ConfigError(path, f'cannot be built by mmseg: {reason(cause)}')


def explain_weights(error: Exception, model: dict[str, Any]) -> ConfigError:
    """Say why weights could not be initialised; most often pretrained ones are out of reach."""
    unknown = _explain_unknown(error, model)
    if unknown:
        return unknown
    for path, part in dicts(model, 'model.segmentor'):
        address = pretrained_address(part)
        if address is not None:
            key = path if part.get('type') == 'Pretrained' else f'{path}.pretrained'
            message = (
                f"cannot load the pretrained weights '{address}': {one_line(error)}; "
                f'name a file that you have, or give --{key}=null to start from random weights'
            )
            return ConfigError(key, message)
    return ConfigError(_KEY, f'cannot be initialised by mmseg: {reason(error)}')


def _explain_unknown(error: Exception, model: dict[str, Any]) -> ConfigError | None:
    """Return what to say of a `type` that no registry has, None if that is not what is wrong."""
    found = _UNKNOWN.search(str(error))
    if not found:
        return None
    name, kind = found[1] or found[4], found[2] or found[3]
    where = [path for path, part in dicts(model, 'model.segmentor') if part.get('type') == name]
    if not where:
        return None
    known = [each for registry in _REGISTRIES if kind in registry.name for each in registry.module_dict]
    return ConfigError(f'{where[0]}.type', f"mmseg has no '{name}'{nearest(name, known)}")


def _failing_part(model: dict[str, Any], error: Exception) -> tuple[str, Exception]:
    """Return the path of the first part that cannot be built by itself, and why; else the whole model and its error."""
    for key in ('backbone', 'neck', *HEAD_KEYS):
        parts: Any = model.get(key)
        several = isinstance(parts, (list, tuple))
        for index, part in enumerate(parts if several else [parts]):
            try:
                if isinstance(part, dict):
                    MODELS.build(ConfigDict(part))
            except Exception as cause:  # whatever it was that ended the model's own building
                return f'model.segmentor.{key}{f".{index}" if several else ""}', cause
    return 'model.segmentor', error


def reason(error: BaseException) -> str:
    """Return what a class says is wrong, without the names that mmcv puts before it; of a bare assert its own words."""
    while error.__context__ is not None and str(error.__context__) in str(error):
        error = error.__context__
    if isinstance(error, AssertionError) and not str(error) and error.__traceback__:
        line = traceback.extract_tb(error.__traceback__)[-1].line or ''
        return f'it needs {one_line(line).removeprefix("assert ")}'
    return one_line(str(error.args[0]) if isinstance(error, KeyError) and error.args else error)
