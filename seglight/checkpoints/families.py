"""Convert each family of backbones; see `seglight.checkpoints.convert`."""

from __future__ import annotations

import importlib.util
import math
import re
from argparse import Namespace
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from seglight import compat  # noqa: F401  (first: mmseg's converters import mmcv)
from seglight.config.mmseg.packaged import zoo_folder

Weights = dict[str, Tensor]

#: Limit on the side of the windows that a relative position table is for: its index has as many values as side ** 4.
MOST_SIDE = 64


@cache
def _mmseg(name: str) -> ModuleType:
    """Import one of mmseg's `tools/model_converters`."""
    path = zoo_folder().parent / 'tools' / 'model_converters' / f'{name}2mmseg.py'
    spec = importlib.util.spec_from_file_location(f'mmseg_{name}2mmseg', path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _renamed(weights: Weights, *rules: tuple[str, str]) -> Weights:
    """Return the weights with patterns in their keys replaced, one rule after another."""
    result = {}
    for key, value in weights.items():
        for pattern, new in rules:
            key = re.sub(pattern, new, key)
        result[key] = value
    return result


def swin(weights: Weights) -> Weights:
    """Convert Swin Transformer; timm puts each patch merging into the stage after it, the authors before it."""
    if not any(key.startswith('layers.0.downsample') for key in weights):
        stage = re.compile(r'layers\.(\d+)\.downsample')
        weights = {
            stage.sub(lambda found: f'layers.{int(found[1]) - 1}.downsample', key): value
            for key, value in weights.items()
        }
    result: Weights = _mmseg('swin').convert_swin(weights)
    return result


def beit(weights: Weights) -> Weights:
    """Convert BEiT; a relative position table that all blocks share is copied to each of them."""
    shared = weights.get('rel_pos_bias.relative_position_bias_table')
    blocks = {key.split('.')[1] for key in weights if key.startswith('blocks.')}
    weights = {key: value for key, value in weights.items() if not key.startswith('rel_pos_bias.')}
    if shared is not None:
        weights |= {f'blocks.{block}.attn.relative_position_bias_table': shared.clone() for block in blocks}
    result: Weights = _mmseg('beit').convert_beit(weights)
    return result


def mae(weights: Weights) -> Weights:
    """Convert the encoder of MAE."""
    result: Weights = _mmseg('beit').convert_beit(weights)
    return result


def mit(weights: Weights) -> Weights:
    """Convert SegFormer's Mix Transformer."""
    result: Weights = _mmseg('mit').convert_mit(weights)
    return result


def stdc(weights: Weights) -> Weights:
    """Convert STDC1 (8 layers) or STDC2 (14 layers)."""
    layers = {key.removeprefix('cp.').split('.')[1] for key in weights}
    result: Weights = _mmseg('stdc').convert_stdc(weights, 'STDC1' if len(layers) == 8 else 'STDC2')
    return result


def twins(weights: Weights) -> Weights:
    """Convert Twins-PCPVT, or Twins-SVT, which has windows."""
    model = Namespace(model='svt' if _is_svt(weights) else 'pcpvt')
    result: Weights = _mmseg('twins').convert_twins(model, weights)
    return result


def vit(weights: Weights) -> Weights:
    """Convert timm's Vision Transformer and DeiT; the last norm needs mmseg's `final_norm=True`."""
    result: Weights = _mmseg('vit').convert_vit(weights)
    return result


def vitjax(weights: Weights) -> Weights:
    """Convert the Vision Transformer from its authors' JAX files."""
    layers = {key.split('/')[1] for key in weights if key.startswith('Transformer/encoderblock_')}
    result: Weights = _mmseg('vitjax').vit_jax_to_torch(weights, len(layers))
    return result


def convnext(weights: Weights) -> Weights:
    """Convert ConvNeXt, from its authors or timm, to mmcls's, which mmseg's configs use."""
    weights = _renamed(
        weights,
        (r'^stem\.', 'downsample_layers.0.'),
        (r'^stages\.(\d+)\.downsample\.', r'downsample_layers.\1.'),
        (r'\.blocks\.', '.'),
        (r'\.(conv_dw|dwconv)\.', '.depthwise_conv.'),
        (r'\.(mlp\.fc|pwconv)', '.pointwise_conv'),
    )
    # Some of timm's variants have 1x1 convolutions where mmcls has linear layers.
    return {
        key: value.flatten(1) if 'pointwise' in key and value.ndim == 4 else value for key, value in weights.items()
    }


def resnet(weights: Weights) -> Weights:
    """Convert ResNet, from torchvision or timm; a stem with three convolutions means ResNetV1c or V1d."""
    if 'conv1.0.weight' not in weights:
        return weights
    return _renamed(weights, (r'^conv1\.', 'stem.'), (r'^bn1\.', 'stem.7.'))


def initial_values(family: str, weights: Weights) -> Weights:
    """Return the initial values of the parameters that mmseg's backbone has in addition to the authors' model.

    These are the norms of the output features; in MAE, the relative position tables and the scales of
    each block.

    Args:
        family: the name of the family.
        weights: the converted weights.
    """
    if family == 'swin':
        widths = _widths(weights, r'stages\.(\d+)\.blocks\.0\.norm1\.weight')
        return _norms(widths, 'norm{}')
    if family == 'convnext':
        widths = _widths(weights, r'stages\.(\d+)\.0\.norm\.weight')
        return _norms(widths, 'norm{}')
    if family == 'twins' and _is_svt(weights):
        widths = _widths(weights, r'layers\.(\d+)\.0\.norm1\.weight')
        return _norms(widths, 'norm_list.{}')
    if family == 'mae':
        return _mae_initial_values(weights)
    return {}


def _is_svt(weights: Weights) -> bool:
    """Return whether the weights are Twins-SVT, which has attention within windows."""
    return any('attn.qkv.' in key for key in weights)


def _widths(weights: Weights, pattern: str) -> dict[str, int]:
    """Return the number of channels of each stage, from its first norm."""
    found = ((re.fullmatch(pattern, key), value) for key, value in weights.items())
    return {match[1]: len(value) for match, value in found if match}


def _norms(widths: dict[str, int], name: str) -> Weights:
    """Return a newly initialised LayerNorm for each stage."""
    return {
        f'{name.format(stage)}.{part}': torch.full((width,), value)
        for stage, width in widths.items()
        for part, value in (('weight', 1.0), ('bias', 0.0))
    }


def _mae_initial_values(weights: Weights) -> Weights:
    """Return tables of zeros and scales of one, with which MAE computes the same as the original ViT."""
    width = weights['cls_token'].shape[-1]
    side = math.isqrt(weights['pos_embed'].shape[1] - 1)
    found = {}
    for layer in {key.split('.')[1] for key in weights if key.startswith('layers.')}:
        table = torch.zeros((2 * side - 1) ** 2 + 3, width // 64)  # each head has 64 channels in every ViT
        found[f'layers.{layer}.attn.relative_position_bias_table'] = table
        found |= {f'layers.{layer}.gamma_{index}': torch.ones(width) for index in (1, 2)}
    return found


def position_indices(weights: Weights) -> Weights:
    """Return the index buffer of each relative position table, as computed by mmseg's attention.

    Raises:
        ValueError: for a table of larger windows than any published model has.
    """
    from mmseg.models.backbones.beit import BEiTAttention
    from mmseg.models.backbones.swin import WindowMSA

    found = {}
    for key, table in weights.items():
        if key.endswith('relative_position_bias_table'):
            attention, extra = (WindowMSA, 0) if '.w_msa.' in key else (BEiTAttention, 3)  # for the class token
            side = (math.isqrt(len(table) - extra) + 1) // 2
            if side > MOST_SIDE:
                raise ValueError(f'{key} is for windows of {side}x{side}, more than {MOST_SIDE}x{MOST_SIDE}')
            index = attention(1, 1, (side, side)).relative_position_index
            found[key.replace('bias_table', 'index')] = index
    return found
