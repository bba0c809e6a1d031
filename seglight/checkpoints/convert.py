"""Convert the weights of a backbone from the layout of its authors or of timm to mmseg's keys.

mmseg's own converters, which are scripts in its package, rename the keys. This module detects the
layout, renames timm's later keys to those of the authors, and completes the result, so that a
backbone loads it without missing or unexpected keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from seglight.checkpoints import families
from seglight.errors import CheckpointError, one_line

Weights = dict[str, Tensor]

#: A pattern for each layout, which at least one key of such a file matches; the first match decides.
LAYOUTS = {
    'mmseg': r'(layers|stages)\.([\w.]+\.)?(ln1|ffn|w_msa|depthwise_conv)\.',
    'swin': r'layers\.\d+\.blocks\.\d+\.attn\.relative_position_bias_table',
    'beit': r'(blocks\.\d+\.attn|rel_pos_bias)\.relative_position_bias_table',
    'twins': r'pos_block\.\d+\.proj',
    'mit': r'block1\.\d+\.mlp\.dwconv\.dwconv\.',
    'stdc': r'(cp\.)?features\.\d+\.conv_list\.',
    'vitjax': r'Transformer/encoderblock_\d+/',
    'convnext': r'stages\.\d+\.(\d+\.dwconv|blocks\.\d+\.conv_dw)\.',
    'resnet': r'layer1\.0\.conv1\.weight',
    'vit': r'blocks\.\d+\.attn\.qkv\.weight',
}


class Family(NamedTuple):
    """A family of backbones.

    Attributes:
        layout: the layout of the authors' files, a name in `LAYOUTS`.
        backbone: mmseg's class.
        left_out: a pattern of the keys to drop: for other tasks, or computed by the class.
        foreign: a pattern of the keys of variants that the class does not support.
        convert: converts the authors' weights to mmseg's.
    """

    layout: str
    backbone: str
    left_out: str
    foreign: str
    convert: Callable[[Weights], Weights]


_VIT_VARIANTS = r'dist_token|reg_token|norm_pre\.|blocks\.\d+\.(ls[12]|gamma_[12]|attn\.[qk]_norm|attn\.norm|mlp\.norm)'

FAMILIES = {
    'beit': Family('beit', 'BEiT', r'head|lm_head|norm\.|fc_norm|mask_token', r'pos_embed|.*\.k_bias', families.beit),
    'convnext': Family('convnext', 'mmcls.ConvNeXt', r'head|norm\.', r'.*\.grn\.', families.convnext),
    'deit': Family('vit', 'VisionTransformer', r'head|fc_norm|pre_logits', _VIT_VARIANTS, families.vit),
    'mae': Family('vit', 'MAE', r'head|norm\.|fc_norm|decoder|mask_token', _VIT_VARIANTS, families.mae),
    'mit': Family('mit', 'MixVisionTransformer', r'head', r'(?!)', families.mit),
    'resnet': Family('resnet', 'ResNet', r'fc\.', r'.*\.(se|conv4)\.', families.resnet),
    'stdc': Family('stdc', 'STDCNet', r'(cp\.)?(?!features|cp\.)', r'(?!)', families.stdc),
    'swin': Family('swin', 'SwinTransformer', r'head|norm\.|.*attn_mask', r'absolute_pos_embed', families.swin),
    'twins': Family('twins', 'PCPVT or SVT', r'head|norm\.', r'(?!)', families.twins),
    'vit': Family('vit', 'VisionTransformer', r'head|fc_norm|pre_logits', _VIT_VARIANTS, families.vit),
    'vitjax': Family('vitjax', 'VisionTransformer', r'head|pre_logits', r'(?!)', families.vitjax),
}

#: Detects the family.
TIMM = 'timm'


class Converted(NamedTuple):
    """The result of a conversion.

    Attributes:
        weights: for mmseg's backbone.
        family: the name in `FAMILIES`.
        left_out: the dropped keys of the source.
        initial: the keys that the source lacks, which get initial values.
    """

    weights: Weights
    family: str
    left_out: list[str]
    initial: list[str]


def convert(family: str, source: Weights, name: str) -> Converted:
    """Convert the weights of a backbone to mmseg's keys.

    Args:
        family: a name in `FAMILIES`, or `timm` to detect the family.
        source: the weights with the keys of their authors or of timm.
        name: the name of the source in errors.

    Raises:
        CheckpointError: if the source is of another family, or a variant that mmseg's class does not support.
    """
    source = without_prefix(source)
    found = layout(source)
    if family == TIMM and found in FAMILIES:
        family = str(found)
    if family == TIMM or found != FAMILIES[family].layout:
        raise CheckpointError(f'{name} {_seems(found, source)}, not {family} weights')
    plan = FAMILIES[family]
    for key in source:
        if re.match(plan.foreign, key):
            raise CheckpointError(f"{name} has {key}, which mmseg's {plan.backbone} does not support")
    left_out = [key for key in source if re.match(plan.left_out, key)]
    kept = {key: value for key, value in source.items() if key not in left_out}
    try:
        weights = plan.convert(kept)
        initial = families.initial_values(family, weights)
        complete = {**initial, **weights}
        complete |= families.position_indices(complete)
    except Exception as error:  # mmseg's converters do not check what they are given
        raise CheckpointError(
            f'{name} looks like {family} weights, but some are missing or damaged: {one_line(error)}'
        ) from error
    return Converted(complete, family, left_out, [key for key in initial if key not in weights])


def layout(weights: Weights) -> str | None:
    """Return the name in `LAYOUTS` that matches some weights, None if none does."""
    return next((name for name, mark in LAYOUTS.items() if any(re.match(mark, key) for key in weights)), None)


def without_prefix(weights: Weights) -> Weights:
    """Return the weights without a common prefix such as `module.`; of a whole model, those of its backbone."""
    for prefix in ('module.', 'model.', 'backbone.'):
        inner = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        if inner and (prefix == 'backbone.' or len(inner) == len(weights)):
            weights = inner
    return weights


def _seems(found: str | None, source: Weights) -> str:
    """Describe what a file looks like."""
    if found == 'mmseg':
        return "has mmseg's own keys and needs no conversion"
    if found:
        return f'looks like {found} weights'
    return f'has an unknown layout (its keys are {", ".join(list(source)[:3])}, ...)'
