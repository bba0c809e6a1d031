"""Models that ask for sizes or values while they predict are traced for images of any size, in every format."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from models.adapters.tiny import hf
from parity.architectures import DILATED, HEAD, RESNET

from seglight.exporting.formats.to_onnx import to_onnx
from seglight.exporting.formats.to_openvino import to_openvino
from seglight.exporting.graph import Graph
from seglight.exporting.program import program_of
from seglight.exporting.sizes import padding_of
from seglight.exporting.wanted import can_trace
from seglight.models import Segmentor
from seglight.models.inference.logits import encode_decode

onnxruntime = pytest.importorskip('onnxruntime')
openvino = pytest.importorskip('openvino')
pytest.importorskip('transformers')

pytestmark = [
    pytest.mark.extras,
    pytest.mark.slow,
    pytest.mark.skipif(not can_trace(), reason='torch before 2.9 cannot trace for images of any size'),
]

FPN = {'type': 'FPN', 'in_channels': [8, 16, 32, 64], 'out_channels': 16, 'num_outs': 4}
VIT = {
    'type': 'VisionTransformer', 'img_size': (64, 64), 'embed_dims': 16, 'num_layers': 4, 'num_heads': 2,
    'out_indices': (0, 1, 2, 3), 'interpolate_mode': 'bicubic',
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    'PointRend': {
        'type': 'CascadeEncoderDecoder', 'num_stages': 2, 'backbone': RESNET, 'neck': FPN,
        'decode_head': [
            {'type': 'FPNHead', 'in_channels': [16] * 4, 'in_index': [0, 1, 2, 3], 'feature_strides': [4, 8, 16, 32],
             **HEAD},
            {'type': 'PointHead', 'in_channels': [16], 'in_index': [0], 'num_classes': 5, 'channels': 16},
        ],
        'test_cfg': {'mode': 'whole', 'subdivision_steps': 2, 'subdivision_num_points': 300, 'scale_factor': 2},
    },
    'PSANet': {
        'type': 'EncoderDecoder', 'backbone': DILATED,
        'decode_head': {'type': 'PSAHead', 'in_channels': 64, 'in_index': 3, 'mask_size': (9, 9), **HEAD},
    },
    'ViT': {
        'type': 'EncoderDecoder', 'backbone': VIT,
        'decode_head': {'type': 'FCNHead', 'in_channels': 16, 'in_index': 3, **HEAD},
    },
    'DPT': {
        'type': 'EncoderDecoder', 'backbone': {**VIT, 'output_cls_token': True},
        'decode_head': {
            'type': 'DPTHead', 'in_channels': [16] * 4, 'in_index': [0, 1, 2, 3], 'embed_dims': 16,
            'post_process_channels': [8, 8, 8, 8], 'readout_type': 'project', 'input_transform': 'multiple_select',
            **HEAD,
        },
    },
    'EoMT of transformers': hf('eomt'),
    'DPT of transformers': hf('dpt'),
    'MobileNet V2 of transformers': hf('mobilenet_v2'),
    'MobileViT of transformers': hf('mobilevit'),
}  # fmt: skip

#: 64x64 is the size of the position embeddings, and 32x128 has as many patches; the others leave remainders.
SIZES = [(24, 31), (64, 64), (32, 128), (97, 130), (72, 75)]


@pytest.mark.parametrize('name', MODELS)
def test_every_format_predicts_as_the_segmentor(name: str) -> None:
    torch.manual_seed(0)
    module = Segmentor(copy.deepcopy(MODELS[name]), list('abcde')).eval()
    padding = padding_of(module.segmentor)
    largest = padding.fixed or (1000, 1000)
    for runtime, call in runtimes(module):
        for height, width in SIZES:
            size = min(height, largest[0]), min(width, largest[1])
            image = np.random.default_rng(0).integers(0, 256, (2, 3, *size), dtype=np.uint8)
            normal = (torch.from_numpy(image) - module.mean.view(3, 1, 1)) / module.std.view(3, 1, 1)
            with torch.no_grad():
                expected = encode_decode(module.segmentor, normal).numpy()
            np.testing.assert_allclose(call(image), expected, atol=1e-4, rtol=1e-3, err_msg=f'{runtime} {size}')


def runtimes(module: Segmentor) -> Iterator[tuple[str, Callable[[np.ndarray], np.ndarray]]]:
    """Yield the model in each format, as a function of uint8 images."""
    program = program_of(Graph(module, padding_of(module.segmentor)), None)
    traced = program.module()
    yield 'torch', lambda image: traced(torch.from_numpy(image)).detach().numpy()
    model = to_onnx(program, 'logits')
    session = onnxruntime.InferenceSession(model.proto.SerializeToString())
    yield 'onnx', lambda image: session.run(None, {'image': image})[0]
    options = {'INFERENCE_PRECISION_HINT': 'f32', 'CPU_RUNTIME_CACHE_CAPACITY': '0'}
    compiled = openvino.Core().compile_model(to_openvino(model).model, 'CPU', options)
    yield 'openvino', lambda image: compiled(image)[0]


def test_attention_of_several_heads_is_translated() -> None:
    """Torch's attention has another order in memory than its translation, which a view of it must not depend on."""
    model = copy.deepcopy(hf('mask2former'))
    model['config']['backbone_config']['num_heads'] = [2, 2, 2, 2]
    torch.manual_seed(0)
    module = Segmentor(model, ['a', 'b', 'c']).eval()
    graph = Graph(module, padding_of(module.segmentor))
    translated = to_onnx(program_of(graph, (64, 96)), 'logits')
    session = onnxruntime.InferenceSession(translated.proto.SerializeToString())
    image = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    (found,) = session.run(None, {'image': image.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, graph(image), rtol=1e-3, atol=1e-3)
