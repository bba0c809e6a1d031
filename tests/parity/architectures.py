"""Small segmentors of six families of mmsegmentation, as model dicts."""

from __future__ import annotations

from typing import Any

NORM = {'type': 'BN', 'requires_grad': True}

RESNET = {'type': 'ResNetV1c', 'depth': 18, 'base_channels': 8, 'stem_channels': 8, 'norm_cfg': NORM}
DILATED = {**RESNET, 'dilations': (1, 1, 2, 4), 'strides': (1, 2, 1, 1)}
HEAD = {'channels': 16, 'norm_cfg': NORM, 'num_classes': 5}

SWIN = {
    'type': 'SwinTransformer',
    'embed_dims': 8,
    'depths': (1, 1, 1, 1),
    'num_heads': (1, 1, 2, 2),
    'window_size': 4,
}
MIT = {
    'type': 'MixVisionTransformer',
    'embed_dims': 8,
    'num_layers': (1, 1, 1, 1),
    'num_heads': (1, 1, 2, 2),
    'sr_ratios': (8, 4, 2, 1),
}

#: Two decode heads, the second of which refines what the first says.
OCRNET = {
    'type': 'CascadeEncoderDecoder',
    'num_stages': 2,
    'backbone': DILATED,
    'decode_head': [
        {'type': 'FCNHead', 'in_channels': 32, 'in_index': 2, 'num_convs': 1, 'concat_input': False, **HEAD},
        {'type': 'OCRHead', 'in_channels': 64, 'in_index': 3, 'ocr_channels': 8, **HEAD},
    ],
}

PYRAMID = {'in_channels': [8, 16, 32, 64], 'in_index': [0, 1, 2, 3]}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    'PSPNet': {
        'type': 'EncoderDecoder',
        'backbone': DILATED,
        'decode_head': {'type': 'PSPHead', 'in_channels': 64, 'in_index': 3, 'pool_scales': (1, 2, 3), **HEAD},
    },
    'DeepLabV3+': {
        'type': 'EncoderDecoder',
        'backbone': DILATED,
        'decode_head': {
            'type': 'DepthwiseSeparableASPPHead',
            'in_channels': 64,
            'in_index': 3,
            'dilations': (1, 6, 12),
            'c1_in_channels': 8,
            'c1_channels': 8,
            **HEAD,
        },
    },
    'semantic FPN': {
        'type': 'EncoderDecoder',
        'backbone': RESNET,
        'neck': {'type': 'FPN', 'in_channels': [8, 16, 32, 64], 'out_channels': 16, 'num_outs': 4},
        'decode_head': {
            'type': 'FPNHead',
            'in_channels': [16] * 4,
            'in_index': [0, 1, 2, 3],
            'feature_strides': [4, 8, 16, 32],
            **HEAD,
        },
    },
    'UPerNet with Swin': {
        'type': 'EncoderDecoder',
        'backbone': SWIN,
        'decode_head': {'type': 'UPerHead', 'pool_scales': (1, 2, 3), **PYRAMID, **HEAD},
    },
    'SegFormer': {
        'type': 'EncoderDecoder',
        'backbone': MIT,
        'decode_head': {
            'type': 'SegformerHead',
            'in_channels': [8, 8, 16, 16],
            'in_index': [0, 1, 2, 3],
            **HEAD,
        },
    },
    'OCRNet, a cascade': OCRNET,
}
