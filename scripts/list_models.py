"""Write seglight/config/catalogue.csv: the models of timm, transformers and smp; takes some minutes, and no network.

Parameters are counted from models without memory. Licences are those in timm's own table, and those that the pages of
the transformers models state (`licence` below); none is derived from anything else, so many are empty.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from seglight import compat  # noqa: F401  (first: timm imports torchvision)

# isort: split
import segmentation_models_pytorch as smp
import timm
import transformers
from count_parameters import parameters, without_memory
from segmentation_models_pytorch.encoders import encoders, is_equivalent_to_timm_universal

from seglight.config.catalogue import HF_NAME, SMP_ARCHITECTURE, SMP_ENCODER, TIMM_NAME, Model
from seglight.files import write_atomically
from seglight.models.adapters.hf_config import auto_class
from seglight.models.adapters.smp import ARCHITECTURES

TABLE = Path(__file__).parents[1] / 'seglight' / 'config' / 'catalogue.csv'
HUB = 'https://huggingface.co/'

#: The encoder with which the architectures of smp are counted; for those that do not take it, the second.
ENCODERS = ('resnet34', 'tu-vit_base_patch16_224')


def timm_models() -> Iterator[Model]:
    """Yield timm's models that give feature maps: one for each set of weights, or one without weights."""
    published = timm.list_pretrained()
    bare = set(timm.list_models()) - {name.partition('.')[0] for name in published}
    for name in sorted({*published, *bare}, key=str.lower):
        config = timm.get_pretrained_cfg(name)
        size = config.input_size if config is not None and config.fixed_input_size else None
        count = timm_parameters(name.partition('.')[0], None if size is None else size[-1])
        if count is not None:
            licence, weights = (config.license or '', config.has_weights or '') if config is not None else ('', '')
            hub = f'{HUB}{config.hf_hub_id}' if config is not None and config.hf_hub_id else ''
            yield Model(TIMM_NAME, name, count, licence, hub or str(weights))


@cache
def timm_parameters(name: str, size: int | None) -> int | None:
    """Return the number of parameters of a backbone, for images of one size; None if it has no feature maps."""
    try:
        with without_memory():
            options: dict[str, Any] = {} if size is None else {'img_size': size}
            return parameters(timm.create_model(name, features_only=True, pretrained=False, **options))
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError, AttributeError, IndexError):
        return None


class HubModel(NamedTuple):
    """A model of the hub for `HFSegmentor`.

    Attributes:
        name: its name.
        licence: as its page states it; empty if that was not seen.
        config: its configuration, from the script that converted it; None if not known.
    """

    name: str
    licence: str = ''
    config: dict[str, Any] | None = None


_STAGES = ['stage1', 'stage2', 'stage3', 'stage4']


def _swin(width: int, third: int, heads: int, window: int) -> dict[str, Any]:
    """Return the configuration of a Swin Transformer (arXiv:2103.14030, section 3.3)."""
    return {
        'model_type': 'swin', 'embed_dim': width, 'depths': [2, 2, third, 2], 'window_size': window,
        'num_heads': [heads * factor for factor in (1, 2, 4, 8)], 'out_features': _STAGES,
    }  # fmt: skip


def _convnext(width: int, third: int) -> dict[str, Any]:
    """Return the configuration of a ConvNeXt (arXiv:2201.03545, section 2)."""
    hidden = [width * factor for factor in (1, 2, 4, 8)]
    return {'model_type': 'convnext', 'hidden_sizes': hidden, 'depths': [3, 3, third, 3], 'out_features': _STAGES}


#: Backbones by size; the two larger Swin Transformers have windows of 12.
_SWINS = {
    'tiny': _swin(96, 6, 3, 7), 'small': _swin(96, 18, 3, 7), 'base': _swin(128, 18, 4, 12),
    'large': _swin(192, 18, 6, 12),
}  # fmt: skip
_CONVNEXTS = {
    'tiny': _convnext(96, 9), 'small': _convnext(96, 27), 'base': _convnext(128, 27), 'large': _convnext(192, 27),
}  # fmt: skip

#: SegFormer's sizes (arXiv:2105.15203, table 6).
_SEGFORMERS: dict[str, dict[str, Any]] = {
    'b0': {},
    'b1': {'hidden_sizes': [64, 128, 320, 512]},
    **{
        size: {'hidden_sizes': [64, 128, 320, 512], 'decoder_hidden_size': 768, 'depths': depths}
        for size, depths in {'b2': [3, 4, 6, 3], 'b3': [3, 4, 18, 3], 'b4': [3, 8, 27, 3], 'b5': [3, 6, 40, 3]}.items()
    },
}


def hub_models() -> Iterator[HubModel]:
    """Yield the models of the hub by type: for ADE20K with 150 classes, for Cityscapes with 19."""
    stated = {f'ade {size}' for size in ('b0', 'b1', 'b2', 'b5')} | {'cityscapes b1', 'cityscapes b2'}
    for data, classes in (('ade', 150), ('cityscapes', 19)):
        for size, values in _SEGFORMERS.items():
            pixels = 1024 if data == 'cityscapes' else 640 if size == 'b5' else 512
            name = f'nvidia/segformer-{size}-finetuned-{data}-{pixels}-{pixels}'
            config = {'model_type': 'segformer', 'num_labels': classes, **values}
            yield HubModel(name, 'other' if f'{data} {size}' in stated else '', config)
    for data, classes in (('ade', 150), ('cityscapes', 19)):
        for size, backbone in _SWINS.items():
            if (data, size) == ('cityscapes', 'base'):
                continue  # published with weights of ImageNet-21k only, under another name
            config = {'model_type': 'mask2former', 'num_labels': classes, 'backbone_config': backbone}
            yield HubModel(f'facebook/mask2former-swin-{size}-{data}-semantic', 'other' * (data == 'ade'), config)
    for size in ('base', 'large'):
        config = {'model_type': 'maskformer', 'num_labels': 150, 'backbone_config': _SWINS[size]}
        yield HubModel(f'facebook/maskformer-swin-{size}-ade', 'other' * (size == 'large'), config)
    for kind, backbones in (('swin', _SWINS), ('convnext', _CONVNEXTS)):
        for size, backbone in backbones.items():
            middle = {'tiny': 384, 'small': 384, 'base': 512, 'large': 768}[size]
            config = {
                'model_type': 'upernet', 'num_labels': 150, 'backbone_config': backbone, 'auxiliary_in_channels': middle
            }  # fmt: skip
            stated_here = kind == 'swin' or size in ('tiny', 'small')
            yield HubModel(f'openmmlab/upernet-{kind}-{size}', 'mit' * stated_here, config)
    large = {'model_type': 'eomt', 'num_labels': 150, 'image_size': 512, 'num_queries': 100}
    yield HubModel('tue-mps/ade20k_semantic_eomt_large_512', config=large)
    yield HubModel('tue-mps/cityscapes_semantic_eomt_large_1024')
    yield HubModel('microsoft/beit-base-finetuned-ade-640-640', 'apache-2.0')
    yield HubModel('Intel/dpt-large-ade', 'apache-2.0')
    yield HubModel('apple/deeplabv3-mobilevit-small', 'apple-amlr')
    yield HubModel('apple/deeplabv3-mobilevit-x-small', 'other')
    yield HubModel('apple/deeplabv3-mobilevit-xx-small', 'other')
    yield HubModel('google/deeplabv3_mobilenet_v2_1.0_513')


def hf_models() -> Iterator[Model]:
    """Yield the models of the hub that transformers' documentation names, with counts where the size is published."""
    for name, licence, config in hub_models():
        yield Model(HF_NAME, name, None if config is None else hf_parameters(config), licence, f'{HUB}{name}')


def hf_parameters(values: dict[str, Any]) -> int:
    """Return the number of parameters of a configuration."""
    config = transformers.AutoConfig.for_model(**values)
    with without_memory():
        return parameters(auto_class(config.model_type).from_config(config))


def smp_architectures() -> Iterator[Model]:
    """Yield smp's architectures with 2 classes."""
    for name in ARCHITECTURES:
        encoder = ENCODERS[1] if name == 'DPT' else ENCODERS[0]
        with without_memory():
            count = parameters(getattr(smp, name)(encoder, encoder_weights=None, classes=2))
        yield Model(SMP_ARCHITECTURE, name, count, '', '')


def smp_encoders() -> Iterator[Model]:
    """Yield smp's own encoders, but for those that stand for ones of timm."""
    for name, encoder in encoders.items():
        if not is_equivalent_to_timm_universal(name):
            with without_memory():
                count = parameters(smp.encoders.get_encoder(name))
            published = ', '.join(encoder['pretrained_settings'])
            yield Model(SMP_ENCODER, name, count, '', f'{published} from {HUB}smp-hub' if published else '')


def main() -> None:
    """Write the table."""
    warnings.simplefilter('ignore')
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow(Model._fields)
    for models in (timm_models(), hf_models(), smp_architectures(), smp_encoders()):
        table.writerows(models)
    write_atomically(TABLE, text.getvalue().encode())


if __name__ == '__main__':
    main()
