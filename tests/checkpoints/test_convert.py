"""Each family's weights, from the published keys to mmseg's backbone, against the model they come from."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoints import originals
from checkpoints.originals import Original, channel_norm

from seglight.checkpoints.convert import FAMILIES, convert
from seglight.errors import CheckpointError

# isort: split
import mmcls.models  # noqa: F401  (registers ConvNeXt)
from mmseg.models import build_backbone

ORIGINALS = {
    'beit': [originals.beit, originals.shared_beit],
    'convnext': [originals.convnext, originals.convnext_of_its_authors],
    'deit': [originals.vit],
    'mae': [originals.mae],
    'mit': [originals.mit],
    'resnet': [originals.resnet, originals.resnet_d],
    'stdc': [originals.stdc, originals.stdc2],
    'swin': [originals.swin, originals.swin_of_its_authors],
    'twins': [originals.pcpvt, originals.svt],
    'vit': [originals.vit],
}
CASES = [(family, make) for family, makers in ORIGINALS.items() for make in makers]


def check(family: str, original: Original) -> None:
    """Convert, load without a missing or an unexpected key, and compare the features of both on one image."""
    backbone = build_backbone(original.backbone)
    converted = convert(family, original.weights, 'some.pth')
    result = backbone.load_state_dict(converted.weights, strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    backbone.eval()  # some of mmseg's return nothing from it
    backbone.norm_after_stage = False  # SVT's, which its authors' classifier has not
    image = torch.randn(1, 3, *(128, 128) if family in ('swin', 'twins') else (64, 64))
    with torch.no_grad():
        expected, actual = original.features(image), backbone(image)
    assert len(expected) == len(actual)
    for one, other in zip(expected, actual, strict=True):
        one = channel_norm(one) if original.norms else one  # the norms that mmseg adds, as they begin
        assert one.std() > 0.01
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('family', 'make'), CASES, ids=[f'{family}-{make.__name__}' for family, make in CASES])
def test_the_converted_weights_give_the_features_of_the_original(family: str, make: Callable[[], Original]) -> None:
    check(family, make())


def test_jax_weights_give_the_features_that_timm_reads_from_them(tmp_path: Path) -> None:
    check('vitjax', originals.vitjax(str(tmp_path / 'vit.npz')))


@pytest.mark.parametrize(('family', 'make'), CASES, ids=[f'{family}-{make.__name__}' for family, make in CASES])
def test_weights_with_other_dimensions_are_an_error_or_converted(family: str, make: Callable[[], Original]) -> None:
    """Each kind of weight in turn is a single number, has a dimension more, or has no values."""
    weights = make().weights
    kinds = {re.sub(r'\d+', '', key): key for key in weights}
    for key in kinds.values():
        value = weights[key]
        for damaged in (torch.tensor(1.0), value[None], torch.empty(0)):
            try:
                convert(family, {**weights, key: damaged}, 'some.pth')
            except CheckpointError as error:
                assert str(error).startswith('some.pth looks like')


def test_a_table_of_huge_windows_takes_no_memory() -> None:
    original = originals.swin()
    key = next(key for key in original.weights if key.endswith('relative_position_bias_table'))
    with pytest.raises(CheckpointError, match=r'is for windows of 500x500, more than 64x64'):
        convert('swin', {**original.weights, key: torch.zeros(999 * 999, 1)}, 'some.pth')


def test_every_family_is_shown() -> None:
    assert {*ORIGINALS, 'vitjax'} == {*FAMILIES}


@pytest.mark.parametrize(('family', 'make'), CASES, ids=[f'{family}-{make.__name__}' for family, make in CASES])
def test_every_other_family_is_told_what_the_file_looks_like(family: str, make: Callable[[], Original]) -> None:
    weights = make().weights
    for other in FAMILIES:
        if FAMILIES[other].layout != FAMILIES[family].layout:
            with pytest.raises(CheckpointError, match=f'some.pth looks like {FAMILIES[family].layout} weights'):
                convert(other, weights, 'some.pth')
