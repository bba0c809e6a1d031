"""Channels and strides of necks and heads, filled in from a timm backbone where the config leaves them out."""

from __future__ import annotations

from typing import Any

from seglight.models.adapters.timm import feature_maps, is_timm, size_options
from seglight.models.parts import HEAD_KEYS

#: Heads of mmseg that take several feature maps.
_SEVERAL_MAPS = ('FPNHead', 'SegformerHead', 'SETRMLAHead', 'UPerHead')

#: The stride of each map of `Feature2Pyramid`, relative to its input's.
_RESCALED = {4: 0.25, 2: 0.5, 1: 1.0, 0.5: 2.0, 0.25: 4.0}

Maps = list[tuple[int, float]]  #: channels and stride of each feature map


def fill_in(model: dict[str, Any]) -> None:
    """Complete, in place, what a model dict leaves out after a `TIMMBackbone`; values that are there stay.

    Args:
        model: of a segmentor with `backbone`, and perhaps `neck` and heads.

    Raises:
        ConfigError: if timm has no such model.
    """
    backbone: Any = model.get('backbone')
    if not is_timm(backbone):
        return
    neck = model.get('neck')
    maps = _backbone_maps(backbone, isinstance(neck, dict) and neck.get('type') == 'Feature2Pyramid')
    if isinstance(neck, dict):
        maps = _neck_maps(neck, maps)
    for key in HEAD_KEYS:
        heads = model.get(key)
        for head in heads if isinstance(heads, list) else [heads]:
            if isinstance(head, dict) and maps:
                _fill_head(head, maps)


def _backbone_maps(backbone: dict[str, Any], wants_four: bool) -> Maps:
    """Return the feature maps of a backbone; a plain transformer gives four if the neck makes a pyramid of them."""
    arguments = {**backbone, **size_options(backbone)}
    maps = feature_maps(arguments)
    if wants_four and maps.blocks and 'out_indices' not in backbone:
        backbone['out_indices'] = [maps.blocks * quarter // 4 - 1 for quarter in (1, 2, 3, 4)]
        maps = feature_maps({**arguments, 'out_indices': backbone['out_indices']})
    return list(zip(maps.channels, maps.strides, strict=True))


def _neck_maps(neck: dict[str, Any], maps: Maps) -> Maps:
    """Complete a neck and return its feature maps; none for a neck that is not known here."""
    kind = neck.get('type')
    if kind == 'Feature2Pyramid':
        width = neck.setdefault('embed_dim', maps[-1][0])
        return [(width, maps[-1][1] * _RESCALED.get(scale, 1.0)) for scale in neck.get('rescales', (4, 2, 1, 0.5))]
    if kind in ('FPN', 'MultiLevelNeck'):
        neck.setdefault('in_channels', [channels for channels, _ in maps])
        strides = [stride for _, stride in maps]
        if kind == 'FPN':
            count = neck.setdefault('num_outs', len(maps))
            strides += [strides[-1] * 2 ** (extra + 1) for extra in range(count - len(maps))]
        width = neck.setdefault('out_channels', 256)
        return [(width, stride) for stride in strides]
    return []


def _fill_head(head: dict[str, Any], maps: Maps) -> None:
    """Complete the channels of a head, the maps that it takes, and for `FPNHead` their strides."""
    several = head.get('type') in _SEVERAL_MAPS
    index = head.setdefault('in_index', list(range(len(maps))) if several else len(maps) - 1)
    try:
        taken = [maps[each] for each in (index if isinstance(index, list) else [index])]
    except (IndexError, TypeError):
        return  # the check of `in_index` says so
    channels = [each for each, _ in taken]
    head.setdefault('in_channels', channels if isinstance(index, list) else channels[0])
    if head.get('num_convs') == 0:  # a linear head, whose channels are those that it takes
        head.setdefault('channels', head['in_channels'])
    if head.get('type') == 'FPNHead':
        head.setdefault('feature_strides', [int(stride) for _, stride in taken])
