"""torch.compile and activation checkpointing change the speed, not the numbers."""

import copy
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.config as inductor
from conftest import TINY_SEGMENTOR, Result, random_batch
from mmseg.models import build_backbone
from torch import nn

from seglight.models.compilation import compile_parts
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
    with torch.no_grad(), caplog.at_level(logging.WARNING):
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
    with torch.no_grad():
        torch.testing.assert_close(
            compiled.encode_decode(image, [{}]), plain.encode_decode(image, [{}]), rtol=1e-3, atol=1e-4
        )
