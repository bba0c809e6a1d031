"""torch.compile and activation checkpointing change the speed, not the numbers."""

import copy
import logging

import pytest
import torch
from conftest import TINY_SEGMENTOR, random_batch
from mmseg.models import build_backbone
from torch import nn

from seglight.models import building
from seglight.models.compilation import compile_parts

TRANSFORMERS = {
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


@pytest.mark.parametrize('name', TRANSFORMERS)
def test_gradients_with_checkpointed_activations_are_the_same(name: str) -> None:
    torch.manual_seed(0)
    plain = build_backbone(TRANSFORMERS[name])
    saving = build_backbone({**TRANSFORMERS[name], 'with_cp': True})
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(2, 3, 32, 32, requires_grad=True)
    expected = gradients(plain, image)
    done = gradients(saving, image)
    assert expected.keys() == done.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(done[key], gradient, msg=key)


@pytest.mark.slow
def test_what_cannot_be_compiled_runs_as_it_is_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch._inductor.config as inductor

    monkeypatch.setattr(inductor.cpp, 'cxx', ('no_such_compiler',))
    plain = building.build(TINY_SEGMENTOR, 5).eval()
    compiled = copy.deepcopy(plain)
    compile_parts(compiled)
    assert list(compiled.state_dict()) == list(plain.state_dict())
    image = random_batch(1)['image'].float()
    with torch.no_grad(), caplog.at_level(logging.WARNING):
        torch.testing.assert_close(compiled.encode_decode(image, [{}]), plain.encode_decode(image, [{}]))
    assert 'InvalidCxxCompiler' in caplog.text


@pytest.mark.slow
def test_a_compiled_segmentor_gives_the_same_logits() -> None:
    plain = building.build(TINY_SEGMENTOR, 5).eval()
    compiled = copy.deepcopy(plain)
    compile_parts(compiled)
    image = random_batch(1)['image'].float()
    with torch.no_grad():
        torch.testing.assert_close(
            compiled.encode_decode(image, [{}]), plain.encode_decode(image, [{}]), rtol=1e-3, atol=1e-4
        )
