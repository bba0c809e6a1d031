"""Resizing by bands, compared with torch's own `interpolate`."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seglight.models.inference import resampling
from seglight.models.inference.resampling import Coarse, resized_bands


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(
    'sizes', [[(40, 36)], [(40, 36), (31, 57)], [(9, 7), (90, 70)], [(12, 10), (5, 3)], [(12, 10), (12, 10)]]
)
def test_bands_equal_torchs_interpolate(
    sizes: list[tuple[int, int]], align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resampling, 'BAND', 60)
    logits: Tensor = torch.randn(2, 4, 12, 10)
    expected = logits
    for size in sizes:
        expected = F.interpolate(expected, size, mode='bilinear', align_corners=align_corners)
    with torch.autocast('cpu', torch.bfloat16):  # which must not reach the weights
        bands = list(resized_bands(Coarse(logits, tuple(sizes), align_corners)))
    assert len(bands) > 1
    assert [rows.start for rows, _ in bands[1:]] == [rows.stop for rows, _ in bands[:-1]]
    torch.testing.assert_close(torch.cat([band for _, band in bands], 2), expected, atol=1e-5, rtol=1e-5)
