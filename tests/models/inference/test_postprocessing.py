"""Masks from probabilities, compared with scipy's labelling and by hand."""

import numpy as np
import torch
from scipy import ndimage

from seglight.models.inference.postprocessing import Postprocessing


def noise(classes: int = 3, size: int = 40, seed: int = 0) -> np.ndarray:
    """Smooth random probabilities `[C, H, W]`, with regions of many sizes."""
    rng = np.random.default_rng(seed)
    scores = np.stack([ndimage.gaussian_filter(rng.standard_normal((size, size)), 1.2) for _ in range(classes)])
    weights = np.exp(6 * scores)
    shares: np.ndarray = (weights / weights.sum(0)).astype(np.float32)
    return shares


def test_without_values_each_pixel_gets_the_most_probable_class() -> None:
    probabilities = noise()
    assert (Postprocessing().mask(probabilities) == probabilities.argmax(0)).all()
    assert not Postprocessing()
    assert Postprocessing({1: 0.5})


def test_a_class_below_its_threshold_gives_way_to_one_that_reaches_its_own() -> None:
    pixels = np.array([[[0.5, 0.45, 0.4]], [[0.4, 0.35, 0.35]], [[0.1, 0.2, 0.25]]], dtype=np.float32)
    assert Postprocessing({0: 0.48}).mask(pixels).tolist() == [[0, 1, 1]]
    assert Postprocessing({0: 0.48, 1: 0.38}).mask(pixels).tolist() == [[0, 2, 2]]
    none_reaches = {0: 0.6, 1: 0.6, 2: 0.6}
    assert Postprocessing(none_reaches).mask(pixels).tolist() == [[0, 0, 0]]


def test_small_regions_get_the_next_class() -> None:
    probabilities = noise()
    plain = probabilities.argmax(0)
    regions, _ = ndimage.label(plain == 1, np.ones((3, 3)))
    areas = np.bincount(regions.ravel())
    small = (areas[regions] < 30) & (plain == 1)
    assert 0 < small.sum() < (plain == 1).sum()
    expected = np.where(small, np.where(probabilities[0] >= probabilities[2], 0, 2), plain)
    assert (Postprocessing(smallest_areas={1: 30}).mask(probabilities) == expected).all()


def test_small_holes_get_the_class_around_them() -> None:
    probabilities = noise()
    probabilities[0] += 0.25  # a large region with holes
    plain = probabilities.argmax(0)
    filled = ndimage.binary_fill_holes(plain == 0)
    holes, _ = ndimage.label(filled & (plain != 0))
    areas = np.bincount(holes.ravel())
    small = (holes > 0) & (areas[holes] <= 20)
    assert small.sum() > 0
    mask = Postprocessing(largest_holes={0: 20}).mask(probabilities)
    assert (mask == np.where(small, 0, plain)).all()


def test_masks_of_a_batch_and_of_a_head_with_one_channel() -> None:
    batch = np.stack([noise(seed=1), noise(seed=2)])
    rule = Postprocessing({0: 0.6}, {1: 9}, {2: 9})
    masks = rule.masks(torch.from_numpy(batch))
    assert masks.dtype == torch.uint8
    assert (masks.numpy() == np.stack([rule.mask(image) for image in batch])).all()
    single = torch.tensor([[[[0.9, 0.6, 0.2]]]])
    assert Postprocessing({1: 0.7}).masks(single).tolist() == [[[1, 0, 0]]]
