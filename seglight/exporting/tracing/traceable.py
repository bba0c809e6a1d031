"""Patches while torch traces a graph, so that sizes stay symbols."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from seglight import compat  # noqa: F401  (first: mmseg imports mmcv, which imports torchvision)

# isort: split
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmseg import ops
from mmseg.models.backbones import VisionTransformer
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.models.decode_heads import ISAHead, PointHead, PSAHead
from mmseg.models.decode_heads.dm_head import DCM
from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock, ReassembleBlocks
from mmseg.models.decode_heads.knet_head import KernelUpdateHead
from mmseg.models.utils.embed import AdaptivePadding
from torch import Tensor, nn
from torch.fx.experimental import _config as symbols
from torch.nn import functional as F

from seglight.exporting.tracing.attentions import attended
from seglight.exporting.tracing.dpt import fused, fused_hf, reassembled
from seglight.exporting.tracing.filters import filtered
from seglight.exporting.tracing.groups import interlaced
from seglight.exporting.tracing.kernels import updated
from seglight.exporting.tracing.paddings import convolved, pad_shape, padded_as_tensorflow
from seglight.exporting.tracing.patches import unfolded
from seglight.exporting.tracing.points import uncertain
from seglight.exporting.tracing.pooling import adaptive_avg_pool2d
from seglight.exporting.tracing.positions import positioned
from seglight.exporting.tracing.probabilities import known_probabilities
from seglight.exporting.tracing.windows import attend


@contextmanager
def traceable(graph: nn.Module) -> Iterator[None]:
    """Let parts of mmseg, transformers and torch keep sizes symbolic, which theirs turn into numbers.

    Args:
        graph: what is traced.
    """
    modules = [module for name, module in sys.modules.items() if name.startswith(('mmseg.', 'seglight.models.'))]
    holders = [module for module in modules if vars(module).get('resize') is ops.resize]
    with ExitStack() as stack:
        for module in holders:
            stack.enter_context(patch.object(module, 'resize', _resize))
        for holder, name, other in _REPLACED:
            stack.enter_context(patch.object(holder, name, other))
        for place, name, other in _REPLACED_HF:
            if place in sys.modules:
                stack.enter_context(patch(f'{place}.{name}', other))
        stack.enter_context(known_probabilities(graph))
        yield


@contextmanager
def from_one_pixel() -> Iterator[None]:
    """Let torch assume nothing about lengths of one, which broadcast; otherwise it requires two of each feature map.

    torch before 2.7 has no such setting.
    """
    if not hasattr(symbols, 'backed_size_oblivious'):
        yield
        return
    with symbols.patch(backed_size_oblivious=True):  # type: ignore[attr-defined]  # added when it is imported
        yield


def _resize(
    input: Tensor,  # noqa: A002  (as mmseg calls it)
    size: Any = None,
    scale_factor: Any = None,
    mode: str = 'nearest',
    align_corners: bool | None = None,
    warning: bool = True,
) -> Tensor:
    """Do what mmseg's `resize` does without its warnings."""
    del warning
    return F.interpolate(input, size, scale_factor, mode, align_corners)


def _upsample(self: Any, x: Tensor) -> Tensor:
    """Do what mmseg's `Upsample.forward` does, without its `int` where the factor is whole."""
    size, factor = self.size, self.scale_factor
    if not size:
        size = [side * int(factor) if factor == int(factor) else int(side * factor) for side in x.shape[-2:]]
    return _resize(x, size, None, self.mode, self.align_corners)


def _attention(*arguments: Any, **more: Any) -> Tensor:
    """Do what torch's function does, with a result whose memory is in the order of its axes.

    Otherwise a trace has views that its translation to ONNX, where the order differs, cannot have.
    """
    return _scaled_dot_product_attention(*arguments, **more).contiguous()


_scaled_dot_product_attention = F.scaled_dot_product_attention

#: What is replaced while torch traces: holder, name, and what does the same.
_REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (ops.Upsample, 'forward', _upsample),
    (F, 'adaptive_avg_pool2d', adaptive_avg_pool2d),
    (F, 'scaled_dot_product_attention', _attention),
    (AdaptivePadding, 'get_pad_shape', pad_shape),
    (Conv2dAdaptivePadding, 'forward', convolved),
    (ShiftWindowMSA, 'forward', attend),
    (DCM, 'forward', filtered),
    (ISAHead, 'forward', interlaced),
    (KernelUpdateHead, 'forward', updated),
    (PointHead, 'get_points_test', uncertain),
    (PSAHead, 'forward', attended),
    (VisionTransformer, '_pos_embeding', positioned),
    (ReassembleBlocks, 'forward', reassembled),
    (FeatureFusionBlock, 'forward', fused),
)

#: The same of transformers, whose modules are imported with the first of their models: module, name in it, replacement.
_REPLACED_HF: tuple[tuple[str, str, Any], ...] = (
    ('transformers.models.dpt.modeling_dpt', 'DPTFeatureFusionLayer.forward', fused_hf),
    ('transformers.models.mobilenet_v2.modeling_mobilenet_v2', 'apply_tf_padding', padded_as_tensorflow),
    ('transformers.models.mobilevit.modeling_mobilevit', 'MobileViTLayer.unfolding', unfolded),
)
