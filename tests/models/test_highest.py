"""The class with the highest score, as numpy finds it."""

import numpy as np
import pytest
import torch

from seglight.models.highest import highest


@pytest.mark.parametrize('shape', [(2, 11, 30, 40), (1, 150, 7, 5), (1, 256, 3, 3), (3, 2, 9), (5, 1, 4, 4), (6, 4)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_it_is_numpys_argmax(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    classes = highest(scores)
    assert classes.dtype == torch.uint8
    np.testing.assert_array_equal(classes.numpy(), scores.double().numpy().argmax(1))


def test_the_first_of_equal_scores_wins() -> None:
    scores = torch.randint(0, 3, (2, 9, 40, 40), generator=torch.Generator().manual_seed(0)).float()
    np.testing.assert_array_equal(highest(scores).numpy(), scores.numpy().argmax(1))
    assert (highest(torch.full((1, 3, 2, 2), -torch.inf)) == 0).all()


def test_the_scores_may_be_strided_and_need_a_gradient() -> None:
    scores = torch.randn(2, 6, 5, 8, requires_grad=True)
    view = scores[..., ::2].permute(0, 1, 3, 2)
    np.testing.assert_array_equal(highest(view).numpy(), view.detach().numpy().argmax(1))


@pytest.mark.parametrize('place', [0, 2, 4])
def test_nan_is_the_highest_score(place: int) -> None:
    scores = torch.randn(2, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    scores[0, place, 1:3] = torch.nan
    np.testing.assert_array_equal(highest(scores).numpy(), scores.numpy().argmax(1))
