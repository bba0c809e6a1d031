"""PSANet's attention for traced graphs has mmseg's results."""

from typing import Any

import pytest
import torch
from mmseg.models.decode_heads import PSAHead

from seglight.exporting.tracing.attentions import attended

SIZES = [(1, 1), (3, 6), (8, 6), (9, 6), (8, 7), (9, 7)]
CASES: list[dict[str, Any]] = [
    {},
    {'shrink_factor': 1, 'align_corners': True},
    {'shrink_factor': 3, 'psa_softmax': False, 'normalization_factor': 9},
    {'psa_type': 'collect'},
    {'psa_type': 'distribute'},
]


def head(**options: Any) -> PSAHead:
    torch.manual_seed(0)
    settings = {'mask_size': (5, 7), 'in_channels': 4, 'channels': 4, 'num_classes': 3, 'norm_cfg': {'type': 'BN'}}
    return PSAHead(**{**settings, **options}).eval()


def same(made: PSAHead, size: tuple[int, int]) -> None:
    features = [torch.randn(2, 4, *size)]
    with torch.no_grad():
        torch.testing.assert_close(attended(made, features), made(features))


@pytest.mark.parametrize('options', CASES, ids=str)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_pixels_attend_as_in_mmseg(size: tuple[int, int], options: dict[str, Any]) -> None:
    same(head(**options), size)


@pytest.mark.parametrize('kind', ['collect', 'distribute', 'bi-direction'])
def test_compact_weights_are_those_of_mmseg(kind: str) -> None:
    same(head(psa_type=kind, compact=True, mask_size=(4, 3)), (8, 6))
