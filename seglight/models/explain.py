"""Explain in one sentence, with the key in the config, why mmseg could not build or initialise a model."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path

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

from seglight.errors import ConfigError, UsageError, one_line
from seglight.models.parts import HEAD_KEYS, KEY, Part
from seglight.models.pretrained import address_of
from seglight.similar import nearest

#: mmcv's and mmseg's messages for an unknown `type`; both name its registry.
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


def explain(error: Exception, parts: Sequence[Part]) -> ConfigError:
    """Return an error that explains why mmseg could not build a model; for an unknown type, name the nearest."""
    path, cause = _failing_part(parts, error)
    return _explain_unknown(cause, parts) or ConfigError(path, f'cannot be built by mmseg: {reason(cause)}')


def explain_weights(error: Exception, parts: Sequence[Part]) -> ConfigError:
    """Return an error that explains why weights could not be initialised, usually a failed download."""
    unknown = _explain_unknown(error, parts)
    if unknown:
        return unknown
    weights = [(part, address) for part in parts if (address := address_of(part)) is not None]
    named = [each for each in weights if each[1] in str(error)]
    # A wrong `init_cfg` of another kind is no failed download.
    missing = [] if 'init_cfg' in str(error) else [each for each in weights if not Path(each[1]).is_file()]
    for part, address in (named or missing)[:1]:
        key = part.key if part.type_name == 'Pretrained' else f'{part.key}.pretrained'
        message = (
            f"cannot load the pretrained weights '{address}': {one_line(error)}; "
            f'give a local file, or --{key}=null to start from random weights'
        )
        return ConfigError(key, message)
    return ConfigError(KEY, f'cannot be initialised by mmseg: {reason(error)}')


def _explain_unknown(error: Exception, parts: Sequence[Part]) -> ConfigError | None:
    """Return the error for a `type` that no registry has, None if the cause is something else."""
    found = _UNKNOWN.search(str(error))
    if not found:
        return None
    name, kind = found[1] or found[4], found[2] or found[3]
    unknown = next((part for part in parts if part.type_name == name), None)
    if unknown is None:
        return None
    known = [each for registry in _REGISTRIES if kind in registry.name for each in registry.module_dict]
    return ConfigError(f'{unknown.key}.type', f"mmseg has no '{name}'{nearest(name, known)}")


def _failing_part(parts: Sequence[Part], error: Exception) -> tuple[str, Exception]:
    """Return the key and the error of the first part that fails when built alone, else those of the whole model."""
    whole, *inner = parts
    for key in ('backbone', 'neck', *HEAD_KEYS):
        for part in inner:
            if part.parent is whole and part.path[0] == key:
                try:
                    MODELS.build(ConfigDict(part.values))
                except Exception as cause:  # whatever stopped the build of the whole model
                    return part.key, cause
    return KEY, error


def reason(error: BaseException) -> str:
    """Return the message of a class's error without the prefix that mmcv adds; for a bare assert, its condition."""
    while error.__context__ is not None and str(error.__context__) in str(error):
        error = error.__context__
    if isinstance(error, AssertionError) and not str(error) and error.__traceback__:
        line = traceback.extract_tb(error.__traceback__)[-1].line or ''
        return f'it needs {one_line(line).removeprefix("assert ")}'
    return one_line(str(error.args[0]) if isinstance(error, KeyError) and error.args else error)


#: torch's messages for features that do not fit the next layer.
_MISFIT = re.compile(
    'Given groups=|size of tensor|Sizes of tensors|shapes cannot be multiplied|is invalid for input of size|'
    'Given input size|Given normalized_shape|Expected more than 1 value per channel'
)


def explain_first_batch(error: Exception, steps_done: int) -> ConfigError | None:
    """Return the user error behind a failure in the first batch, None if it is not a user error.

    Args:
        error: raised by torch.
        steps_done: optimizer steps before it; after the first, the structure of the model is not the cause.
    """
    message = one_line(error)
    if steps_done or not _MISFIT.search(message):
        return None
    if 'more than 1 value per channel' in message:
        return UsageError(
            'BatchNorm cannot train on one value per channel, as in a pooled batch of one image; '
            'set data.batch_size to 2 or more'
        )
    return UsageError(
        f'model.segmentor cannot take these images: {message[:200]}; the channels or sizes of two parts differ '
        '(--debug shows where)'
    )
