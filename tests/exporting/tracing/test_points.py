"""PointRend's points for traced graphs are mmseg's."""

from types import SimpleNamespace

import pytest
import torch
from mmseg.models.decode_heads import PointHead
from mmseg.models.decode_heads.point_head import calculate_uncertainty

from seglight.exporting.tracing.points import uncertain


@pytest.mark.parametrize('count', [1, 40, 9000])
@pytest.mark.parametrize('size', [(1, 1), (5, 8), (33, 20), (64, 64)], ids=str)
def test_points_are_mmsegs(size: tuple[int, int], count: int) -> None:
    head = PointHead(in_channels=[4], in_index=[0], channels=4, num_classes=3)
    logits = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    config = SimpleNamespace(subdivision_num_points=count)
    places, points = uncertain(head, logits, calculate_uncertainty, config)
    expected_places, expected_points = head.get_points_test(logits, calculate_uncertainty, config)
    assert torch.equal(places, expected_places)
    torch.testing.assert_close(points, expected_points)
