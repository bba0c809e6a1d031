"""Views of an image and how they are merged, worked out by hand with numpy."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from seglight.errors import ConfigError
from seglight.models.inference.views import View, Views, make_views, resized, view_size

IMAGE = torch.randint(0, 256, (2, 3, 6, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SQUARE = IMAGE[..., :6]


def colours(image: Tensor) -> tuple[Tensor, bool]:
    """Logits that are the colours themselves, so that what a view does to the image shows in them."""
    return image.float() / 50, False


@pytest.mark.parametrize('image', [IMAGE, SQUARE], ids=['oblong', 'square'])
@pytest.mark.parametrize('rotations', [[0], [0, 90], [0, 90, 180, 270]])
@pytest.mark.parametrize('flips', [[], ['horizontal'], ['vertical'], ['horizontal', 'vertical']])
def test_every_view_is_turned_back(image: Tensor, rotations: list[int], flips: list[str]) -> None:
    views = Views(make_views([1.0], flips, rotations), batch_size=4)  # type: ignore[arg-type]
    merged = views.probabilities(colours, image, tuple(image.shape[2:]))  # type: ignore[arg-type]
    torch.testing.assert_close(merged, colours(image)[0].softmax(1))


def test_a_view_shows_what_numpy_turns_and_mirrors() -> None:
    pixels = IMAGE.numpy()
    for views, expected in (
        (make_views([1], ['horizontal'], [0]), [pixels, pixels[..., ::-1]]),
        (make_views([1], ['vertical'], [0]), [pixels, pixels[..., ::-1, :]]),
        (make_views([1], [], [90, 180]), [np.rot90(pixels, 1, (2, 3)), np.rot90(pixels, 2, (2, 3))]),
    ):
        for view, image in zip(views, expected, strict=True):
            assert (view.apply(IMAGE).numpy() == image).all()


def test_all_ways_to_turn_and_mirror_are_eight() -> None:
    assert len(make_views([0.5, 1.0], ['horizontal', 'vertical'], [0, 90, 180, 270])) == 16
    assert make_views([1.0], ['horizontal', 'vertical'], [0]) == [View(), View(mirrored=True), View(1.0, 2, True)]


def test_an_image_is_resized_as_mmseg_resizes_it() -> None:
    import mmcv

    expected, _ = mmcv.imrescale(IMAGE[0].permute(1, 2, 0).numpy(), (int(8 * 1.6), int(6 * 1.6)), return_scale=True)
    ours = resized(IMAGE, view_size((6, 8), 1.6))[0].permute(1, 2, 0).numpy()
    assert (ours == expected).all()


def three_votes(image: Tensor) -> tuple[Tensor, bool]:
    """Logits of three classes in one pixel: each of three views says something else."""
    answers = {1: [4.0, 0.0, 3.0], 2: [0.0, 4.0, 3.9], 3: [0.0, 0.0, 9.0]}
    return torch.tensor([answers[image.shape[2]]]).view(1, 3, 1, 1), False


@pytest.mark.parametrize('merge', ['probabilities', 'logits', 'vote'])
def test_merging_is_the_mean_of_probabilities_or_of_logits_or_of_votes(merge: str) -> None:
    views = Views(make_views([1, 2, 3], [], [0]), merge)  # type: ignore[arg-type]
    merged = views.probabilities(three_votes, torch.zeros(1, 3, 1, 1, dtype=torch.uint8), (1, 1)).flatten()
    logits = np.array([[4, 0, 3], [0, 4, 3.9], [0, 0, 9]])
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    mean = logits.mean(0)
    expected = {
        'probabilities': softmax.mean(0),
        'logits': np.exp(mean) / np.exp(mean).sum(),
        'vote': [1 / 3, 1 / 3, 1 / 3],
    }[merge]
    np.testing.assert_allclose(merged, expected, rtol=1e-5)


def test_a_binary_head_votes_by_its_threshold() -> None:
    views = Views(make_views([1], ['horizontal', 'vertical'], [0]), 'vote', batch_size=1)
    probabilities = iter([0.35, 0.2, 0.9])

    def logits(image: Tensor) -> tuple[Tensor, bool]:
        return torch.tensor(next(probabilities)).logit().view(1, 1, 1, 1), False

    merged = views.probabilities(logits, torch.zeros(1, 3, 1, 1, dtype=torch.uint8), (1, 1), threshold=0.3)
    assert merged.item() == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    'scales, flips, rotations',
    [
        ([], [], [0]),
        ([0.0], [], [0]),
        ([math.nan, 1.0], [], [0]),
        ([math.inf], [], [0]),
        ([1], ['up'], [0]),
        ([1], [], [45]),
        ([1], [], []),
    ],
)
def test_impossible_views_are_refused(scales: list[float], flips: list[str], rotations: list[int]) -> None:
    with pytest.raises(ConfigError, match='test-time augmentation'):
        make_views(scales, flips, rotations)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('size', 'scale', 'expected'),
    [
        ((500, 1), 0.5, (250, 1)),  # mmcv's own rescale_size has 0 columns here, and 0 rows with them
        ((1, 500), 0.75, (1, 375)),
        ((500, 1), 0.1, (50, 1)),
        ((1, 1), 0.5, (1, 1)),
        ((3, 900), 0.25, (1, 225)),
        ((97, 131), 0.5, (48, 65)),
    ],
)
def test_no_side_of_a_view_has_less_than_a_pixel(
    size: tuple[int, int], scale: float, expected: tuple[int, int]
) -> None:
    height, width = view_size(size, scale)
    assert (height, width) == expected
    image = torch.zeros(1, 3, *size, dtype=torch.uint8)
    assert resized(image, (height, width)).shape[2:] == expected
