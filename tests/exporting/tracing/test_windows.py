"""Windows for traced graphs have mmseg's results."""

import pytest
import torch
from mmseg.models.backbones.swin import ShiftWindowMSA

from seglight.exporting.tracing.windows import attend


@pytest.mark.parametrize('shift', [0, 2])
@pytest.mark.parametrize('size', [(1, 1), (4, 4), (5, 9), (12, 8)], ids=str)
def test_windows_attend_as_mmsegs(size: tuple[int, int], shift: int) -> None:
    torch.manual_seed(0)
    attention = ShiftWindowMSA(8, 2, window_size=4, shift_size=shift).eval()
    torch.nn.init.normal_(attention.w_msa.relative_position_bias_table)
    image = torch.randn(2, size[0] * size[1], 8)
    with torch.no_grad():
        torch.testing.assert_close(attend(attention, image, size), attention(image, size))
