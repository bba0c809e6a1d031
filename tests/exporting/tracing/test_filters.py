"""DMNet's filters for traced graphs have mmseg's results."""

import pytest
import torch
from mmseg.models.decode_heads.dm_head import DCM

from seglight.exporting.tracing.filters import filtered


@pytest.mark.parametrize('fusion', [True, False])
@pytest.mark.parametrize('side', [1, 2, 3, 5])
def test_filters_are_applied_as_in_mmseg(side: int, fusion: bool) -> None:
    torch.manual_seed(0)
    module = DCM(side, fusion, 6, 4, None, {'type': 'BN'}, {'type': 'ReLU'}).eval()
    image = torch.randn(2, 6, 9, 7)
    with torch.no_grad():
        torch.testing.assert_close(filtered(module, image), module(image))
