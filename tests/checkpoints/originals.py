"""Tiny models with random weights in the layouts that their authors publish, and what each stage of them returns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglight import compat  # noqa: F401  (first: timm imports torchvision)

# isort: split
import timm.models as zoo
from timm.models.resnet import BasicBlock

WIDTHS = (8, 16, 24, 32)
LN = {'type': 'LN', 'eps': 1e-6}


class Original(NamedTuple):
    """A model as published.

    Attributes:
        weights: its state_dict, under the published keys.
        features: returns the output of each stage, `[B, C, H, W]`, without the norms that mmseg adds.
        backbone: mmseg's config of the same architecture.
        norms: whether mmseg's backbone norms what it returns.
    """

    weights: dict[str, Tensor]
    features: Callable[[Tensor], list[Tensor]]
    backbone: dict[str, Any]
    norms: bool = False


def randomise(model: nn.Module) -> nn.Module:
    """Give every parameter and statistic a value that shows where it went."""
    generator = torch.Generator().manual_seed(0)
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if value.is_floating_point() and 'attn_mask' not in name:
            if value.ndim > 1 and 'table' not in name and 'token' not in name and 'pos_embed' not in name:
                spread = (1 / value[0].numel()) ** 0.5
                value.data = torch.randn(value.shape, generator=generator) * spread
            elif name.endswith(('running_var', 'weight')) or 'gamma' in name:
                value.data = 0.5 + torch.rand(value.shape, generator=generator)
            else:
                value.data = torch.randn(value.shape, generator=generator)
    return model.eval()


def stages(model: nn.Module, **options: Any) -> Callable[[Tensor], list[Tensor]]:
    timms: Any = model
    return lambda image: timms.forward_intermediates(image, intermediates_only=True, **options)


def renamed(weights: dict[str, Tensor], *rules: tuple[str, Any]) -> dict[str, Tensor]:
    for pattern, new in rules:
        weights = {re.sub(pattern, new, key): value for key, value in weights.items()}
    return weights


def swin() -> Original:
    shape: dict[str, Any] = {'window_size': 2, 'depths': (2, 2, 2, 2), 'num_heads': (1, 2, 2, 4)}
    model = randomise(zoo.swin_transformer.SwinTransformer(img_size=128, embed_dim=8, num_classes=5, **shape))
    backbone = {'type': 'SwinTransformer', 'pretrain_img_size': 128, 'embed_dims': 8, **shape}
    return Original(model.state_dict(), stages(model), backbone, norms=True)


def swin_of_its_authors() -> Original:
    of_timm = swin()
    weights = renamed(of_timm.weights, (r'layers\.(\d+)\.downsample', lambda m: f'layers.{int(m[1]) - 1}.downsample'))
    weights = renamed(weights, (r'head\.fc', 'head'))
    for key in list(weights):
        if key.endswith('bias_table'):  # buffers that timm does not store
            weights[key.replace('bias_table', 'index')] = torch.zeros(4, 4, dtype=torch.long)
    weights['layers.0.blocks.1.attn_mask'] = torch.zeros(256, 4, 4)
    return of_timm._replace(weights=weights)


def beit(shared: bool = False) -> Original:
    tables: dict[str, Any] = {'use_rel_pos_bias': not shared, 'use_shared_rel_pos_bias': shared}
    model = randomise(
        zoo.beit.Beit(
            img_size=64,
            embed_dim=8,
            depth=2,
            num_heads=2,
            num_classes=5,
            use_abs_pos_emb=False,
            init_values=0.1,
            **tables,
        )
    )
    return Original(model.state_dict(), stages(model), transformer('BEiT', embed_dims=8))


def shared_beit() -> Original:
    return beit(shared=True)


def transformer(kind: str, **options: Any) -> dict[str, Any]:
    sizes = {'img_size': 64, 'num_layers': 2, 'num_heads': 2, 'out_indices': [0, 1], 'norm_cfg': LN}
    return {'type': kind, **sizes, **options}


def timm_vit(width: int) -> Any:
    return randomise(
        zoo.vision_transformer.VisionTransformer(img_size=64, embed_dim=width, depth=2, num_heads=2, num_classes=5)
    )


def vit() -> Original:
    model = timm_vit(8)

    def features(image: Tensor) -> list[Tensor]:
        first, last = stages(model)(image)
        return [first, channel_norm(last, model.norm.weight, model.norm.bias)]

    return Original(model.state_dict(), features, transformer('VisionTransformer', embed_dims=8, final_norm=True))


def mae() -> Original:
    model = timm_vit(128)
    weights = {key: value for key, value in model.state_dict().items() if not key.startswith('head')}
    weights['decoder_embed.weight'] = torch.zeros(4, 128)
    return Original(weights, stages(model), transformer('MAE', embed_dims=128, init_values=1.0))


def vitjax(path: str) -> Original:
    """The names of Google's ViT checkpoints; timm reads them too, and is what they are compared with."""
    rng = np.random.default_rng(0)
    width, heads = 8, 2

    def values(*shape: int) -> np.ndarray:
        return rng.normal(scale=shape[0] ** -0.5, size=shape).astype(np.float32)

    arrays = {'embedding/kernel': values(16, 16, 3, width), 'embedding/bias': values(width), 'cls': values(1, 1, width)}
    arrays['Transformer/posembed_input/pos_embedding'] = values(1, 17, width)
    arrays |= {f'Transformer/encoder_norm/{part}': values(width) for part in ('scale', 'bias')}
    arrays |= {'head/kernel': values(width, 5), 'head/bias': values(5)}
    for index in range(2):
        block = f'Transformer/encoderblock_{index}'
        attention = f'{block}/MultiHeadDotProductAttention_1'
        for name in ('query', 'key', 'value'):
            arrays[f'{attention}/{name}/kernel'] = values(width, heads, width // heads)
            arrays[f'{attention}/{name}/bias'] = values(heads, width // heads)
        arrays |= {
            f'{attention}/out/kernel': values(heads, width // heads, width),
            f'{attention}/out/bias': values(width),
        }
        arrays |= {f'{block}/LayerNorm_{n}/{part}': values(width) for n in (0, 2) for part in ('scale', 'bias')}
        for name, shape in (('Dense_0', (width, 4 * width)), ('Dense_1', (4 * width, width))):
            arrays |= {
                f'{block}/MlpBlock_3/{name}/kernel': values(*shape),
                f'{block}/MlpBlock_3/{name}/bias': values(shape[1]),
            }
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's option `allow_pickle` is not among the names
    model = timm_vit(8)
    model.load_pretrained(path)
    reference = vit()
    weights = {name: torch.from_numpy(value) for name, value in arrays.items()}

    def features(image: Tensor) -> list[Tensor]:
        first, last = stages(model)(image)
        return [first, channel_norm(last, model.norm.weight, model.norm.bias)]

    return Original(weights, features, reference.backbone)


def mit() -> Original:
    """SegFormer's encoder is that of PVTv2, which timm has, under other names."""
    shape: dict[str, Any] = {'num_heads': (1, 1, 2, 2), 'sr_ratios': (8, 4, 2, 1)}
    model = randomise(
        zoo.pvt_v2.PyramidVisionTransformerV2(
            embed_dims=(8, 8, 16, 16), depths=(1, 2, 1, 1), mlp_ratios=(4, 4, 4, 4), num_classes=5, **shape
        )
    )
    weights = renamed(
        model.state_dict(),
        (r'^patch_embed\.', 'patch_embed1.'),
        (r'^stages\.(\d+)\.downsample\.', lambda m: f'patch_embed{int(m[1]) + 1}.'),
        (r'^stages\.(\d+)\.blocks\.', lambda m: f'block{int(m[1]) + 1}.'),
        (r'^stages\.(\d+)\.norm\.', lambda m: f'norm{int(m[1]) + 1}.'),
        (r'\.dwconv\.', '.dwconv.dwconv.'),
    )
    backbone = {'type': 'MixVisionTransformer', 'embed_dims': 8, 'num_layers': (1, 2, 1, 1), 'qkv_bias': True, **shape}
    return Original(weights, stages(model), backbone)


def twins(windows: bool) -> Original:
    shape: dict[str, Any] = {'num_heads': (1, 1, 2, 2), 'depths': (2, 2, 2, 2), 'sr_ratios': (8, 4, 2, 1)}
    sizes = (2, 2, 2, 2) if windows else None
    model = randomise(zoo.twins.Twins(img_size=128, embed_dims=WIDTHS, num_classes=5, wss=sizes, **shape))
    backbone: dict[str, Any] = {
        'type': 'SVT' if windows else 'PCPVT',
        'embed_dims': WIDTHS,
        'mlp_ratios': (4, 4, 4, 4),
        **shape,
    }
    backbone |= {'qkv_bias': True, 'norm_after_stage': windows, 'norm_cfg': LN, 'out_indices': (0, 1, 2, 3)}
    backbone |= {'windiow_sizes': sizes} if windows else {}  # as mmseg spells it
    return Original(model.state_dict(), stages(model), backbone)


def pcpvt() -> Original:
    return twins(windows=False)


def svt() -> Original:
    return twins(windows=True)


def convnext() -> Original:
    model = randomise(zoo.convnext.ConvNeXt(depths=(1, 2, 1, 1), dims=WIDTHS, num_classes=5))
    arch = {'depths': (1, 2, 1, 1), 'channels': WIDTHS}
    backbone = {'type': 'mmcls.ConvNeXt', 'arch': arch, 'out_indices': [0, 1, 2, 3], 'gap_before_final_norm': False}
    return Original(model.state_dict(), stages(model), backbone, norms=True)


def convnext_of_its_authors() -> Original:
    of_timm = convnext()
    weights = renamed(
        of_timm.weights,
        (r'^stem\.', 'downsample_layers.0.'),
        (r'^stages\.(\d)\.downsample\.', r'downsample_layers.\1.'),
        (r'\.blocks\.', '.'),
        (r'\.conv_dw\.', '.dwconv.'),
        (r'\.mlp\.fc', '.pwconv'),
        (r'^head\.norm\.', 'norm.'),
        (r'^head\.fc\.', 'head.'),
    )
    return of_timm._replace(weights=weights)


def resnet(deep: bool = False) -> Original:
    shape: dict[str, Any] = {'block': BasicBlock, 'layers': (2, 2, 2, 2), 'channels': (8, 16, 32, 64)}
    shape |= {'stem_width': 32, 'stem_type': 'deep', 'avg_down': True} if deep else {}
    model = randomise(zoo.resnet.ResNet(num_classes=5, **shape))
    backbone = {'type': 'ResNetV1d' if deep else 'ResNet', 'depth': 18, 'base_channels': 8}
    return Original(model.state_dict(), stages(model, indices=[1, 2, 3, 4]), backbone)


def resnet_d() -> Original:
    return resnet(deep=True)


class ConvX(nn.Module):
    """A convolution of STDC, under its authors' names."""

    def __init__(self, inner: int, outer: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outer)

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(image)))


class CatBottleneck(nn.Module):
    """The short-term dense concatenation module of Fan et al., 2021, figure 3."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        half = outer // 2
        self.conv_list = nn.ModuleList(
            [
                ConvX(inner, half, 1),
                ConvX(half, outer // 4),
                ConvX(outer // 4, outer // 8),
                ConvX(outer // 8, outer // 8),
            ]
        )
        if stride == 2:
            depthwise = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
            self.avd_layer = nn.Sequential(depthwise, nn.BatchNorm2d(half))
        self.stride = stride

    def forward(self, image: Tensor) -> Tensor:
        first = self.conv_list[0](image)
        second = self.conv_list[1](self.avd_layer(first) if self.stride == 2 else first)
        third = self.conv_list[2](second)
        if self.stride == 2:
            first = nn.functional.avg_pool2d(first, 3, 2, 1)
        return torch.cat([first, second, third, self.conv_list[3](third)], dim=1)


def stdc(depths: tuple[int, ...] = (2, 2, 2)) -> Original:
    channels = (8, 16, 32, 64, 128)
    layers: list[nn.Module] = [ConvX(3, 8, 3, 2), ConvX(8, 16, 3, 2)]
    ends = []
    for stage, depth in enumerate(depths):
        inner, outer = channels[stage + 1 : stage + 3]
        layers += [CatBottleneck(inner if n == 0 else outer, outer, 2 if n == 0 else 1) for n in range(depth)]
        ends.append(len(layers) - 1)
    model = nn.Module()
    model.features = sequence = nn.Sequential(*layers)
    model.conv_last = ConvX(128, 128, 1)
    randomise(model)

    def features(image: Tensor) -> list[Tensor]:
        outputs = []
        for layer in sequence:
            image = layer(image)
            outputs.append(image)
        return [outputs[end] for end in ends]

    config = {'in_channels': 3, 'channels': channels, 'bottleneck_type': 'cat', 'norm_cfg': {'type': 'BN'}}
    kind = f'STDCNet{1 if sum(depths) == 6 else 2}'
    return Original(
        model.state_dict(), features, {'type': 'STDCNet', 'stdc_type': kind, 'act_cfg': {'type': 'ReLU'}, **config}
    )


def stdc2() -> Original:
    return stdc((4, 5, 3))


def channel_norm(image: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """LayerNorm over the channels of `[B, C, H, W]`."""
    last = nn.functional.layer_norm(image.movedim(1, -1), image.shape[1:2], weight, bias, 1e-6)
    return last.movedim(-1, 1)
