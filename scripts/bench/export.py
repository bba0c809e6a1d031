"""Export a small model of each family of mmseg, and of timm, transformers and smp, and list what works.

python scripts/bench/export.py exports.csv [--models swin unet] [--seconds 60] [--memory 16]

Of a family, the model with the fewest parameters is exported with fewer layers and random weights, to torch.export,
ONNX and OpenVINO: for images of any size, or if that fails, of one size. Each file is run by its own runtime on the
random images of `seglight export`'s proof and compared with the model. Every model has a process of its own with limits
of processor time and memory. Its line is appended to the CSV when it is done; models that the CSV has are not exported
again. `exports_page.py` writes a page of the CSV in docs/reference, and `latency.py` measures latencies.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import resource
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

from seglight import compat  # noqa: F401  (first: mmseg imports torchvision)

# isort: split
import model_rows
import torch
from mmseg.models.backbones import MobileNetV2, ResNeSt, ResNet, ResNeXt
from torch.export import ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm

from seglight.array_types import Size
from seglight.config.mmseg.file import read_mmseg_config
from seglight.config.mmseg.zoo import find_zoo
from seglight.config.settings import dicts
from seglight.counting import percent
from seglight.errors import one_line
from seglight.exporting import proof
from seglight.exporting.export import Saves
from seglight.exporting.formats.to_onnx import to_onnx
from seglight.exporting.formats.to_openvino import to_openvino
from seglight.exporting.formats.to_program import Program
from seglight.exporting.graph import Graph
from seglight.exporting.program import program_of
from seglight.exporting.sizes import Padding, padding_of
from seglight.models import Segmentor
from seglight.models.inference.logits import encode_decode, threshold
from seglight.models.pretrained import without_pretrained
from seglight.runtimes.metadata import Metadata
from seglight.runtimes.opening import SUFFIXES, files, open_exported
from seglight.tools.zoo import parameter_counts

CLASSES = [f'class {index}' for index in range(5)]
T = TypeVar('T')

BN = {'type': 'BN', 'requires_grad': True}

#: Height and width of the images of a model that takes only one size.
ONE_SIZE: Size = (64, 96)

#: Families of mmseg whose position embeddings have the size of their images.
FIXED = {'beit', 'mae'}

#: The side of their images here; at their own, exports differ in nothing but time.
SIDE = 64

#: A small EoMT.
_EOMT = {
    'hidden_size': 192, 'num_hidden_layers': 8, 'num_attention_heads': 3, 'num_queries': 50, 'num_blocks': 3,
    'image_size': SIDE, 'patch_size': 16,
}  # fmt: skip

#: A small Swin Transformer, the backbone of models that classify masks.
_SWIN = {
    'model_type': 'swin', 'depths': [1, 1, 1, 1], 'embed_dim': 48, 'num_heads': [3, 6, 12, 24], 'window_size': 7,
    'out_features': ['stage1', 'stage2', 'stage3', 'stage4'],
}  # fmt: skip

#: Models of other libraries, by a name for the table.
OTHERS: dict[str, dict[str, Any]] = {
    'timm mobilenetv4_conv_small, FCN': {
        'type': 'EncoderDecoder',
        'backbone': {'type': 'TIMMBackbone', 'model_name': 'mobilenetv4_conv_small', 'pretrained': False},
        'decode_head': {'type': 'FCNHead', 'channels': 64, 'norm_cfg': BN},
    },
    'timm vit_small_patch16_dinov3, UPerNet': {
        'type': 'EncoderDecoder',
        'backbone': {'type': 'TIMMBackbone', 'model_name': 'vit_small_patch16_dinov3', 'pretrained': False},
        'neck': {'type': 'Feature2Pyramid', 'norm_cfg': BN},
        'decode_head': {'type': 'UPerHead', 'channels': 64, 'norm_cfg': BN},
    },
    'transformers segformer': {'type': 'HFSegmentor', 'config': {'model_type': 'segformer'}},
    'transformers mobilenet_v2': {'type': 'HFSegmentor', 'config': {'model_type': 'mobilenet_v2'}},
    'transformers mobilevit': {'type': 'HFSegmentor', 'config': {'model_type': 'mobilevit'}},
    'transformers eomt': {'type': 'HFSegmentor', 'config': {'model_type': 'eomt', **_EOMT}},
    'transformers eomt_dinov3': {
        'type': 'HFSegmentor',
        'config': {'model_type': 'eomt_dinov3', 'intermediate_size': 768, **_EOMT},
    },
    'transformers mask2former': {
        'type': 'HFSegmentor',
        'config': {
            'model_type': 'mask2former', 'backbone_config': _SWIN, 'feature_size': 64, 'mask_feature_size': 64,
            'hidden_dim': 64, 'encoder_feedforward_dim': 128, 'encoder_layers': 2, 'decoder_layers': 4,
            'num_attention_heads': 4, 'dim_feedforward': 128, 'num_queries': 50,
        },
    },
    'transformers maskformer': {
        'type': 'HFSegmentor',
        'config': {
            'model_type': 'maskformer', 'backbone_config': _SWIN, 'fpn_feature_size': 64, 'mask_feature_size': 64,
            'decoder_config': {
                'model_type': 'detr', 'd_model': 64, 'decoder_layers': 2, 'encoder_attention_heads': 4,
                'decoder_attention_heads': 4, 'encoder_ffn_dim': 128, 'decoder_ffn_dim': 128, 'num_queries': 50,
            },
        },
    },
    'transformers dpt': {
        'type': 'HFSegmentor',
        'config': {
            'model_type': 'dpt', 'hidden_size': 192, 'intermediate_size': 768, 'num_hidden_layers': 4,
            'num_attention_heads': 3, 'image_size': SIDE, 'backbone_out_indices': [0, 1, 2, 3],
            'neck_hidden_sizes': [48, 96, 192, 192], 'fusion_hidden_size': 64,
        },
    },
    'transformers upernet': {
        'type': 'HFSegmentor',
        'config': {
            'model_type': 'upernet', 'hidden_size': 64, 'auxiliary_in_channels': 384,
            'backbone_config': {
                'model_type': 'convnext', 'depths': [1, 1, 1, 1], 'hidden_sizes': [96, 192, 384, 768],
                'out_features': ['stage1', 'stage2', 'stage3', 'stage4'],
            },
        },
    },
    'smp Unet': {'type': 'SMPSegmentor', 'arch': 'Unet', 'encoder_name': 'resnet18'},
    'smp FPN': {'type': 'SMPSegmentor', 'arch': 'FPN', 'encoder_name': 'resnet18'},
    'smp DeepLabV3Plus': {'type': 'SMPSegmentor', 'arch': 'DeepLabV3Plus', 'encoder_name': 'resnet18'},
    'smp Segformer': {'type': 'SMPSegmentor', 'arch': 'Segformer', 'encoder_name': 'resnet18'},
}  # fmt: skip


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        family: of mmseg's zoo, or a name in `OTHERS`.
        model: the config of mmseg's zoo; empty for other libraries.
        images: `any`, or the only size.
        torch: share of equal pixels of the program of torch.export; empty if there is none.
        torch_mb: size of its file.
        onnx: share of equal pixels in onnxruntime; empty if there is no file.
        onnx_mb: size of its file.
        openvino: share of equal pixels in OpenVINO; empty if there is no file.
        openvino_mb: size of its files.
        reason: why something is missing.
    """

    family: str
    model: str
    images: str = ''
    torch: str = ''
    torch_mb: str = ''
    onnx: str = ''
    onnx_mb: str = ''
    openvino: str = ''
    openvino_mb: str = ''
    reason: str = ''


class TimeUpError(BaseException):
    """The processor time of a trace is over; not an `Exception`, which libraries catch."""


def smallest() -> dict[str, str]:
    """Return the model with the fewest parameters of each family, the smallest first."""
    found: dict[str, str] = {}
    for name, _ in sorted(parameter_counts().items(), key=lambda item: item[1]):
        found.setdefault(name.split('/')[0], name)
    return found


def model_dict(family: str, name: str, side: int) -> dict[str, Any]:
    """Return the model dict of a family, without the class weights of its data set.

    Args:
        family: of mmseg's zoo, or a name in `OTHERS`.
        name: the config of mmseg's zoo; empty for other libraries.
        side: of the images of a model that takes no larger ones.
    """
    if not name:
        model = deepcopy(OTHERS[family])
        if 'image_size' in model.get('config', {}):
            model['config']['image_size'] = side
        return model
    model = without_pretrained(read_mmseg_config(find_zoo(name))['model'])
    for _, part in dicts(model):
        if isinstance(part.get('class_weight'), list):
            part['class_weight'] = None
    if family in FIXED:
        model['backbone']['img_size'] = side
    return model


def with_few_layers(model: dict[str, Any]) -> dict[str, Any]:
    """Let a model of mmseg have few layers."""
    for _, part in dicts(model):
        part |= {key: few(part[key]) for key in ('depths', 'num_modules', 'num_blocks') if key in part}
    backbone = model['backbone']
    if backbone.get('arch') == 'tiny':
        backbone['arch'] = {'depths': [1, 1, 2, 1], 'channels': [96, 192, 384, 768]}
    layers, indices = backbone.get('num_layers'), backbone.get('out_indices', -1)
    if isinstance(layers, list):  # of a Mix Transformer's stages
        backbone['num_layers'] = [1] * len(layers)
    if isinstance(layers, int):
        backbone['num_layers'] = 4
        if isinstance(indices, (list, tuple)):
            backbone['out_indices'] = tuple(range(4 - len(indices), 4))
    return model


def few(depth: Any) -> Any:
    """Return a number of layers, or several, as at most two each."""
    return min(depth, 2) if isinstance(depth, int) else [few(each) for each in depth]


def shorten_resnets() -> None:
    """Let each stage of a ResNet with bottlenecks, or of a MobileNet V2, have one block, in this process."""
    for backbone in (ResNet, ResNeSt, ResNeXt):
        blocks = {depth: block for depth, (block, _) in backbone.arch_settings.items() if depth >= 50}
        backbone.arch_settings |= {depth: (block, (1, 1, 1, 1)) for depth, block in blocks.items()}
    MobileNetV2.arch_settings = [[*each[:2], 1] for each in MobileNetV2.arch_settings]


def settle(module: Segmentor, size: Size) -> None:
    """Give batch norms the statistics of noise: with those of a new model, deep logits vanish."""
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    for each in norms:
        each.reset_running_stats()
        each.train().momentum = None  # the mean of all batches, which is one
    with torch.no_grad():
        encode_decode(module.segmentor, torch.randn(2, 3, *size))
    module.eval()


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Limit the processor time of a block.

    Raises:
        TimeUpError: when it is over.
    """

    def stop(*_: object) -> None:
        raise TimeUpError

    signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, 1)  # again, in case that something swallows the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def attempts(module: Segmentor, padding: Padding, seconds: int) -> Iterator[dict[str, str]]:
    """Yield the columns of the table for images of any size, and if those fail or differ, for images of one size."""
    graph = Graph(module, padding)
    try:
        with within(seconds):
            program = program_of(graph, None)
        yield exported(module, padding, program, None)
    except TimeUpError:
        yield {'reason': f'tracing takes more than {seconds} s'}
    except Exception as error:  # whatever fails is what the table is about
        yield {'reason': one_line(error)[:200].partition('; export with')[0]}
    size = padding.fixed or ONE_SIZE
    try:
        yield exported(module, padding, program_of(graph, size), size)
    except Exception as error:  # as above
        yield {'reason': one_line(error)[:200]}


def exported(module: Segmentor, padding: Padding, program: ExportedProgram, size: Size | None) -> dict[str, str]:
    """Write a program in each format and compare the files with the model; return the columns of the table."""
    metadata = metadata_of(module, padding, size)
    largest = metadata.size or metadata.largest
    found = {'images': 'any' if not largest else f'{"up to " * (not size)}{largest[1]}x{largest[0]}'}
    try:
        with TemporaryDirectory() as folder:
            for kind, model in translations(program):
                path = Path(folder, f'model{SUFFIXES[kind]}')
                model.save(path, metadata)
                equal = proof.compare(module, open_exported(path, trust=True), proof.random_images(metadata))
                megabytes = sum(each.stat().st_size for each in files(path)) / 1e6
                found |= {kind: percent(equal.equal_pixels), f'{kind}_mb': f'{megabytes:.1f}'}
                if equal.equal_pixels < proof.REQUIRED['float32']:
                    return found | {'reason': f'{kind}: {found[kind]} of the pixels are equal'}
    except Exception as error:  # as above
        found['reason'] = one_line(error)[:200]
    return found


def metadata_of(module: Segmentor, padding: Padding, size: Size | None) -> Metadata:
    """Return what a runtime needs to know of a model."""
    return Metadata(
        run='', classes=CLASSES, palette=[[0, 0, 0]] * len(CLASSES), ignore_index=255, output='logits',
        align_corners=bool(module.segmentor.align_corners), channels=int(module.segmentor.out_channels),
        threshold=float(threshold(module.segmentor)), precision='float32', size=list(size) if size else None,
        largest=list(padding.fixed) if padding.fixed and not size else None, config='', versions={},
    )  # fmt: skip


def export(family: str, name: str, seconds: int, memory: int) -> Row:
    """Export a model in this process, which ends afterwards."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (4 * seconds, 4 * seconds))
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    shorten_resnets()
    model = model_dict(family, name, SIDE)
    module = Segmentor(with_few_layers(model) if name else model, CLASSES).eval()
    padding = padding_of(module.segmentor)
    settle(module, padding.fixed or ONE_SIZE)
    found: dict[str, str] = {}
    reasons = []
    for found in attempts(module, padding, seconds):
        reason = found.pop('reason', '')
        if not reason:
            break
        reasons.append(reason)
    return Row(family, name, **found, reason='; '.join(reasons))


def translations(program: ExportedProgram) -> Iterator[tuple[str, Saves]]:
    """Yield a program in each format, translated when its turn comes."""
    yield 'torch', Program(program)
    model = to_onnx(program, 'logits')
    yield 'onnx', model
    yield 'openvino', to_openvino(model)


def alone(call: Callable[..., T], *arguments: Any) -> T:
    """Return what a call returns in a process of its own, which is forked: importing takes longer than many an export.

    Raises:
        BrokenProcessPool: if the process was ended.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context('fork')) as pool:
        return pool.submit(call, *arguments).result()


def row_of(family: str, name: str, seconds: int, memory: int) -> Row:
    """Return the line of a model, whatever becomes of its process."""
    try:
        return alone(export, family, name, seconds, memory)
    except BrokenProcessPool:
        return Row(family, name, reason=f'ended: over {4 * seconds} s of processor time or {memory} GiB of memory')
    except Exception as error:
        return Row(family, name, reason=one_line(error)[:200])


def main() -> None:
    """Export the models, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('csv', type=Path)
    candidates = {**smallest(), **dict.fromkeys(OTHERS, '')}
    parser.add_argument('--models', choices=candidates, metavar='FAMILY', nargs='+', default=list(candidates))
    parser.add_argument('--seconds', type=int, default=60, help='processor time of a trace; all of a model has 4 times')
    parser.add_argument('--memory', type=int, default=16, help='GiB of a process')
    options = parser.parse_args()
    done = {row['family'] for row in model_rows.read(options.csv)}
    for family in options.models:
        if family not in done:
            print(family, end=' | ', flush=True)
            row = row_of(family, candidates[family], options.seconds, options.memory)
            model_rows.append(options.csv, row._asdict())
            print(*row[2:], sep=' | ', flush=True)


if __name__ == '__main__':
    main()
