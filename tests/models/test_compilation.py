"""torch.compile and activation checkpointing change the speed, not the numbers."""

import copy
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.config as inductor
from conftest import TINY_SEGMENTOR, Result, random_batch
from mmseg.models import build_backbone
from torch import nn

from seglight.models.compilation import PARTS, chosen_parts, compile_parts
from seglight.models.inference.logits import image_logits
from seglight.models.recipe import Recipe

BACKBONES: dict[str, dict[str, Any]] = {
    'ResNet': {'type': 'ResNetV1c', 'depth': 18, 'base_channels': 8, 'stem_channels': 8},
    'MobileNet': {'type': 'MobileNetV2', 'widen_factor': 0.25},
    'CGNet': {'type': 'CGNet', 'num_channels': (8, 16, 32), 'num_blocks': (1, 2)},
    'UNet': {'type': 'UNet', 'base_channels': 4},
    'MiT': {
        'type': 'MixVisionTransformer', 'embed_dims': 8, 'num_layers': [1, 1, 1, 1], 'num_heads': [1, 1, 2, 2],
        'sr_ratios': [8, 4, 2, 1], 'mlp_ratio': 2,
    },
    'Swin': {
        'type': 'SwinTransformer', 'embed_dims': 8, 'depths': [1, 1, 1, 1], 'num_heads': [1, 1, 2, 2], 'window_size': 2,
        'patch_size': 2, 'strides': [2, 2, 2, 2], 'drop_path_rate': 0.0,
    },
    'ViT': {
        'type': 'VisionTransformer', 'img_size': 32, 'patch_size': 8, 'embed_dims': 16, 'num_layers': 2, 'num_heads': 2,
        'out_indices': [1],
    },
}  # fmt: skip


def gradients(backbone: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    backbone.train()
    sum(features.square().mean() for features in backbone(image)).backward()
    return {name: parameter.grad for name, parameter in backbone.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize('name', BACKBONES)
def test_gradients_with_checkpointed_activations_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    plain = build_backbone(BACKBONES[name]).double()
    saving = build_backbone({**BACKBONES[name], 'with_cp': True}).double()
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 32, 32, requires_grad=True, dtype=torch.float64)
    expected = gradients(plain, image)
    done = gradients(saving, image)
    assert expected.keys() == done.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(done[key], gradient, msg=key)


def test_without_a_compiler_nothing_is_compiled_and_one_line_reports_it(
    tiny_config: Path, run: Callable[..., Result]
) -> None:
    torch._dynamo.utils.counters.clear()
    message = r'model.compile is ignored: torch.compile needs a C\+\+ compiler'
    with inductor.patch({'cpp.cxx': ('no_such_compiler',)}), pytest.warns(UserWarning, match=message) as warnings:
        result = run('fit', '--config', tiny_config, '--model.compile=true', '--trainer.max_epochs=1')
    assert result.status == 0, result.err
    assert len([warning for warning in warnings if 'compile' in str(warning.message)]) == 1
    assert 'Traceback' not in result.err
    assert not torch._dynamo.utils.counters['frames']


def test_on_a_gpu_triton_is_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('torch.utils._triton.has_triton', lambda: False)
    with pytest.warns(UserWarning, match='needs triton'):
        compile_parts(Recipe(TINY_SEGMENTOR).for_data(5).build(), torch.device('cuda'))


def test_parts_that_cannot_be_compiled_run_uncompiled_and_a_line_explains_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError('no such kernel\nand how it came about')

    monkeypatch.setattr('torch._inductor.compile_fx.compile_fx', fail)
    torch._dynamo.reset()
    plain = Recipe(TINY_SEGMENTOR).for_data(5).build().eval()
    compiled = copy.deepcopy(plain)
    compile_parts(compiled, torch.device('cpu'))
    assert list(compiled.state_dict()) == list(plain.state_dict())
    image = random_batch(1)['image'].float()
    with caplog.at_level(logging.WARNING):
        torch.testing.assert_close(compiled.encode_decode(image, [{}]), plain.encode_decode(image, [{}]))
    # Records of others, such as W&B's threads of an earlier test, are none of the compiler's.
    records = [
        record for record in caplog.records if record.levelno >= logging.WARNING and record.name.startswith('torch')
    ]
    assert records
    for record in records:
        assert re.fullmatch(r"WON'T CONVERT \w+ \S+ line \d+: .*no such kernel", record.getMessage())
        assert not record.exc_info


@pytest.mark.slow
def test_a_compiled_segmentor_gives_the_same_logits() -> None:
    plain = Recipe(TINY_SEGMENTOR).for_data(5).build().eval()
    compiled = copy.deepcopy(plain)
    compile_parts(compiled, torch.device('cpu'))
    image = random_batch(1)['image'].float()
    torch.testing.assert_close(
        compiled.encode_decode(image, [{}]), plain.encode_decode(image, [{}]), rtol=1e-3, atol=1e-4
    )


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of operations in each graph that is compiled; they run in Python, which needs no compiler."""
    made: list[int] = []

    def run_in_python(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Any]:
        made.append(len(graph.graph.nodes))
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch, 'compile', partial(torch.compile, backend=run_in_python))
    return made


def train(segmentor: Any, *sizes: int) -> None:
    segmentor.train()
    for size in sizes:
        batch = random_batch(4, size)
        losses = segmentor.forward_train(batch['image'].float(), [{}] * 4, batch['mask'][:, None].long())
        sum(value.mean() for name, value in losses.items() if 'loss' in name).backward()


def evaluate(segmentor: Any) -> None:
    """Predict images of several sizes, one that needs padding among them, and a smaller last batch."""
    segmentor.eval()
    with torch.no_grad():
        for count, height, width in ((2, 64, 64), (2, 48, 80), (1, 57, 93), (2, 100, 75), (1, 64, 64)):
            image_logits(segmentor, torch.zeros(count, 3, height, width), (height, width))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ResNet', 'UNet', 'MiT'])
def test_fixed_crops_compile_each_part_once_and_evaluation_compiles_nothing(name: str, graphs: list[int]) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model.pop('auxiliary_head')
    channels, index = {'ResNet': (64, 3), 'UNet': (4, 4), 'MiT': (16, 3)}[name]
    model['backbone'] = BACKBONES[name]
    model['decode_head'].update(in_channels=channels, in_index=index)
    segmentor = Recipe(model).for_data(5).build()
    compile_parts(segmentor, torch.device('cpu'))
    train(segmentor, 64, 64)
    assert len(graphs) == 2  # backbone and head
    evaluate(segmentor)
    train(segmentor, 64)
    assert len(graphs) == 2


def test_only_named_parts_are_compiled_and_crops_of_other_sizes_compile_them_once_more(graphs: list[int]) -> None:
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
    for _ in range(2):  # as for a trainer that fits twice
        compile_parts(segmentor, torch.device('cpu'), chosen_parts('auxiliary_head'))
    train(segmentor, 64)
    assert len(graphs) == 1
    train(segmentor, 48, 80, 96)  # the second size makes the sizes variables
    assert len(graphs) == 2


def test_a_compiled_cascade_compiles_heads_that_are_called_past_the_module(graphs: list[int]) -> None:
    model = copy.deepcopy(TINY_SEGMENTOR)
    model.pop('auxiliary_head')
    first = model['decode_head']
    second = {name: value for name, value in first.items() if name != 'num_convs'}
    second.update(type='OCRHead', ocr_channels=8, channels=8)
    model.update(type='CascadeEncoderDecoder', num_stages=2, decode_head=[first, second])
    segmentor = Recipe(model).for_data(5).build()
    compile_parts(segmentor, torch.device('cpu'), ['decode_head'])
    train(segmentor, 64)
    assert len(graphs) == 2


def test_a_copy_of_a_compiled_segmentor_uses_its_own_weights(graphs: list[int]) -> None:
    segmentor = Recipe(TINY_SEGMENTOR).for_data(5).build()
    compile_parts(segmentor, torch.device('cpu'), ['auxiliary_head'])
    copied = copy.deepcopy(segmentor).auxiliary_head.eval()
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    features = [torch.ones(1, channels, 4, 4) for channels in (8, 16, 32, 64)]
    assert torch.equal(copied(features), torch.zeros(1, 5, 4, 4))
    assert segmentor.auxiliary_head(features).any()
    assert copied.state_dict().keys() == segmentor.auxiliary_head.state_dict().keys()


@pytest.mark.parametrize(
    ('chosen', 'parts'),
    [(False, []), (True, list(PARTS)), ('backbone', ['backbone']), (['neck', 'backbone'], ['neck', 'backbone'])],
)
def test_parts_are_chosen_by_name(chosen: Any, parts: list[str]) -> None:
    assert chosen_parts(chosen) == parts


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        ('bakbone', "must be true, false, or parts of the segmentor (backbone, neck, decode_head, auxiliary_head), got "
         "'bakbone'; did you mean 'backbone'?"),
        ('neck', 'the model has no neck; choose from backbone, decode_head, auxiliary_head'),
    ],
)  # fmt: skip
def test_an_unknown_part_is_one_line(value: str, message: str, tiny_config: Path, run: Callable[..., Result]) -> None:
    result = run('fit', '--config', tiny_config, f'--model.compile={value}')
    assert (result.status, len(result.err.splitlines())) == (2, 1)
    assert message in result.err
