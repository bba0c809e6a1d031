"""ISANet's groups for traced graphs have mmseg's results."""

import pytest
import torch
from mmseg.models.decode_heads import ISAHead

from seglight.exporting.tracing.groups import interlaced


@pytest.mark.parametrize('size', [(1, 1), (8, 8), (9, 5), (16, 23)], ids=str)
def test_groups_attend_as_in_mmseg(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    head = ISAHead(4, down_factor=(8, 8), in_channels=6, channels=8, num_classes=3, norm_cfg={'type': 'BN'}).eval()
    features = [torch.randn(2, 6, *size)]
    with torch.no_grad():
        torch.testing.assert_close(interlaced(head, features), head(features))
