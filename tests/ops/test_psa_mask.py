"""PSANet's masks against the loop of their definition, and bad input."""

from itertools import product

import pytest
import torch
from torch import Tensor

from seglight.ops import psa_mask


def looped(windows: Tensor, psa_type: int, rows: int, columns: int) -> Tensor:
    count, _, height, width = windows.shape
    result = windows.new_zeros(count, height, width, height, width)
    for h, w, a, b in product(range(height), range(width), range(rows), range(columns)):
        i, j = h + a - (rows - 1) // 2, w + b - (columns - 1) // 2
        if 0 <= i < height and 0 <= j < width:
            where = (i, j, h, w) if psa_type == 0 else (h, w, i, j)
            result[(slice(None), *where)] = windows[:, a * columns + b, h, w]
    return result.flatten(1, 2)


@pytest.mark.parametrize('psa_type', [0, 1])
@pytest.mark.parametrize('mask', [(1, 1), (3, 3), (4, 6), (9, 7)])
@pytest.mark.parametrize('size', [(1, 1), (4, 5), (5, 2)])
def test_it_is_the_loop_also_for_windows_smaller_and_larger_than_the_map(
    psa_type: int, mask: tuple[int, int], size: tuple[int, int]
) -> None:
    windows = torch.randn(2, mask[0] * mask[1], *size, generator=torch.Generator().manual_seed(0))
    result = psa_mask(windows, psa_type, mask)
    assert torch.equal(result, looped(windows, psa_type, *mask))
    assert result.is_contiguous()


def test_what_lies_outside_of_the_map_is_dropped_even_if_it_is_not_a_number() -> None:
    windows = torch.ones(1, 9, 1, 1)
    windows[:, [0, 1, 2, 3, 5, 6, 7, 8]] = torch.nan
    assert psa_mask(windows, 0, 3).item() == 1


def test_channels_that_do_not_fit_the_mask_are_named() -> None:
    with pytest.raises(ValueError, match='a mask of 3x5 must have 15 channels, got 9'):
        psa_mask(torch.ones(1, 9, 2, 2), 0, (3, 5))
