"""Sliding windows: where they lie, what weighs how much, and how little is kept."""

import numpy as np
import pytest
import torch
from torch import Tensor

from seglight.models.inference.sliding import BLENDS, blend_weight, sliding_bands, window_starts


def test_windows_cover_the_image_and_end_with_it() -> None:
    assert window_starts(100, 40, 30) == [0, 30, 60]
    assert window_starts(101, 40, 30) == [0, 30, 60, 61]
    assert window_starts(30, 40, 30) == [0]


@pytest.mark.parametrize('blend', BLENDS)
def test_windows_that_agree_give_what_they_agree_upon(blend: str) -> None:
    image = torch.randn(2, 3, 50, 70)
    test_cfg = {'crop_size': (24, 20), 'stride': (15, 9), 'blend': blend, 'window_batch': 3}
    bands = list(sliding_bands(torch.clone, image, torch.clone, test_cfg))
    assert [band.shape[2] for band in bands] == [15, 11, 24]
    torch.testing.assert_close(torch.cat(bands, 2), image)


@pytest.mark.parametrize('blend', BLENDS)
def test_windows_that_differ_are_averaged_with_their_weights(blend: str) -> None:
    numbers = iter([1.0, 10.0])

    def infer(windows: Tensor) -> Tensor:
        return torch.cat([torch.full((1, 1, 4, 6), next(numbers)) for _ in windows])

    test_cfg = {'crop_size': (4, 6), 'stride': (4, 3), 'blend': blend}
    (band,) = sliding_bands(infer, torch.zeros(1, 3, 4, 9), torch.clone, test_cfg)
    distance = np.abs(np.arange(6) - 2.5)
    side = {'mean': np.ones(6), 'linear': 1 - distance / 3.5, 'gaussian': np.exp(-0.5 * (distance / 0.75) ** 2)}[blend]
    side = np.maximum(side, 1e-4)
    expected = [1.0] * 3 + [(side[3 + i] + 10 * side[i]) / (side[3 + i] + side[i]) for i in range(3)] + [10.0] * 3
    # Rows weigh alike in both windows, so they leave the mean as it is, but for the least weight.
    np.testing.assert_allclose(band[0, 0, 2], expected, rtol=0.01)


def test_weights_fall_from_the_middle_to_the_border() -> None:
    for blend in ('linear', 'gaussian'):
        weight = blend_weight(9, 15, blend)
        assert weight[4, 7] == weight.max() == 1
        assert (weight > 0).all()
        assert (weight[4].diff()[7:] < 0).all()
        assert torch.equal(weight, weight.flip(0, 1))


def test_no_more_windows_go_together_than_asked_for() -> None:
    counts: list[int] = []

    def infer(windows: Tensor) -> Tensor:
        counts.append(len(windows))
        return windows

    test_cfg = {'crop_size': (8, 8), 'stride': (8, 8), 'window_batch': 4}
    assert len(list(sliding_bands(infer, torch.zeros(2, 3, 16, 40), torch.clone, test_cfg))) == 2
    assert counts == [4, 4, 2] * 2


def test_windows_in_half_precision_are_averaged_in_single_precision() -> None:
    """As in mmseg, whose sums have the dtype of the image."""
    image = torch.rand(1, 1, 8, 40)
    windows = {'crop_size': (8, 8), 'stride': (8, 1), 'window_batch': 4}
    (averaged,) = sliding_bands(lambda window: window.bfloat16() + 100, image, lambda part: part, windows)
    pixels = image.bfloat16().float()  # in each window the same: a mean of equal values is that value
    assert averaged.dtype == torch.float32
    assert torch.equal(averaged, (pixels.bfloat16() + 100).float())
