"""Small configurations of each kind of model, with random weights."""

from __future__ import annotations

from typing import Any

_STAGES = ['stage1', 'stage2', 'stage3', 'stage4']
_SWIN = {
    'model_type': 'swin', 'depths': [1, 1, 1, 1], 'embed_dim': 8, 'num_heads': [1, 1, 1, 1], 'window_size': 4,
    'image_size': 64, 'out_features': _STAGES,
}  # fmt: skip
_CONVNEXT = {
    'model_type': 'convnext', 'depths': [1, 1, 1, 1], 'hidden_sizes': [8, 16, 24, 32], 'out_features': _STAGES,
}  # fmt: skip
_DETR = {
    'model_type': 'detr', 'd_model': 32, 'encoder_layers': 1, 'decoder_layers': 2, 'encoder_attention_heads': 2,
    'decoder_attention_heads': 2, 'encoder_ffn_dim': 16, 'decoder_ffn_dim': 16, 'num_queries': 8,
}  # fmt: skip
_VIT = {'hidden_size': 32, 'num_hidden_layers': 4, 'num_attention_heads': 2, 'image_size': 64, 'patch_size': 16}
_QUERIES = {'num_queries': 8, 'num_blocks': 2, 'num_upscale_blocks': 1, 'train_num_points': 64}

#: Models with logits for each pixel.
PIXELS: dict[str, dict[str, Any]] = {
    'beit': {
        **_VIT, 'intermediate_size': 64, 'out_indices': [1, 2, 3, 4], 'use_relative_position_bias': True,
    },
    'dpt': {
        **_VIT, 'intermediate_size': 64, 'backbone_out_indices': [0, 1, 2, 3], 'neck_hidden_sizes': [8, 8, 8, 8],
        'fusion_hidden_size': 16,
    },
    'mobilenet_v2': {'depth_multiplier': 0.35},
    'mobilevit': {
        'hidden_sizes': [24, 32, 40], 'neck_hidden_sizes': [8, 8, 16, 24, 32, 40, 64], 'aspp_out_channels': 32,
    },
    'segformer': {
        'depths': [1, 1, 1, 1], 'hidden_sizes': [8, 16, 24, 32], 'num_attention_heads': [1, 1, 2, 4],
        'decoder_hidden_size': 32,
    },
    'upernet': {
        'backbone_config': _CONVNEXT, 'hidden_size': 32, 'auxiliary_channels': 16, 'auxiliary_in_channels': 24,
    },
}  # fmt: skip

#: Models that classify masks.
MASKS: dict[str, dict[str, Any]] = {
    'eomt': {**_VIT, **_QUERIES, 'mlp_ratio': 2},
    'eomt_dinov3': {**_VIT, **_QUERIES, 'intermediate_size': 64},
    'mask2former': {
        'backbone_config': _SWIN, 'feature_size': 32, 'mask_feature_size': 32, 'hidden_dim': 32,
        'encoder_feedforward_dim': 16, 'encoder_layers': 1, 'decoder_layers': 2, 'num_attention_heads': 2,
        'dim_feedforward': 16, 'num_queries': 8, 'train_num_points': 64,
    },
    'maskformer': {
        'backbone_config': _SWIN, 'fpn_feature_size': 32, 'mask_feature_size': 32, 'decoder_config': _DETR,
    },
}  # fmt: skip


def hf(kind: str, **more: Any) -> dict[str, Any]:
    """The model dict of a model of transformers."""
    return {'type': 'HFSegmentor', 'config': {'model_type': kind, **{**PIXELS, **MASKS}[kind]}, **more}


def smp(arch: str = 'Unet', encoder: str = 'resnet18', **more: Any) -> dict[str, Any]:
    """The model dict of a model of smp."""
    return {'type': 'SMPSegmentor', 'arch': arch, 'encoder_name': encoder, **more}
