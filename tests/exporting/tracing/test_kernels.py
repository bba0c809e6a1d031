"""K-Net's kernels for traced graphs have mmseg's results."""

import pytest
import torch
from mmseg.models.decode_heads.knet_head import KernelUpdateHead

from seglight.exporting.tracing.kernels import updated


@pytest.mark.parametrize('side', [1, 3])
@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(12, 6), (6, 3)], ids=str)
def test_kernels_are_updated_as_in_mmseg(size: tuple[int, int], stride: int, side: int) -> None:
    torch.manual_seed(0)
    updator = {'type': 'KernelUpdator', 'in_channels': 8, 'feat_channels': 8, 'out_channels': 8}
    head = KernelUpdateHead(
        num_classes=3, num_heads=2, feedforward_channels=16, in_channels=8, out_channels=8, conv_kernel_size=side,
        mask_transform_stride=stride, num_mask_fcs=1, kernel_updator_cfg={**updator, 'act_cfg': {'type': 'ReLU'}},
    ).eval()  # fmt: skip
    given = torch.randn(2, 8, 12, 6), torch.randn(2, 3, 8, side, side), torch.randn(2, 3, *size)
    with torch.no_grad():
        for found, expected in zip(updated(head, *given), head(*given), strict=True):
            torch.testing.assert_close(found, expected)
