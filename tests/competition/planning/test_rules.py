"""Each rule against values computed by hand."""

import math

import numpy as np
import pytest

from seglight.competition.planning.fingerprint import Fingerprint
from seglight.competition.planning.rules import (
    Budget,
    Cost,
    balance_threshold,
    batches_per_epoch,
    capped,
    choose_cache,
    choose_epochs,
    choose_size,
    choose_workers,
    crop_bounds,
    crops,
    jitter,
    line_through,
    samples_per_epoch,
    working_scale,
)

NONE = np.empty(0)


def fingerprint(
    size: tuple[int, int] = (360, 480),
    images: int = 4,
    areas: list[list[float]] | None = None,
    length: float = 40,
    presence: list[list[int]] | None = None,
) -> Fingerprint:
    found = [np.array(each, dtype=float) for each in areas or []]
    return Fingerprint(
        np.tile(size, (images, 1)),
        np.array(presence if presence is not None else [[1]] * images),
        found,
        [np.array([length])],
    )


def test_a_line_through_two_measurements() -> None:
    assert line_through((2, 5), (4, 9)) == (1, 2)
    assert line_through((2, 5), (4, 4)) == (0, 1)  # more pixels in less time is noise
    assert line_through((2, 1), (4, 4)) == (0, 1)  # a constant part below 0, too


def test_the_largest_crop_is_the_median_image_and_the_smallest_twice_the_median_object() -> None:
    assert crop_bounds(fingerprint(length=40)) == ((96, 96), (352, 480))  # 80 rounded up to 96; 360 down to 352
    assert crop_bounds(fingerprint(length=3)) == ((64, 64), (352, 480))
    assert crop_bounds(fingerprint(length=400)) == ((352, 480), (352, 480))  # not larger than the images
    assert crop_bounds(fingerprint((48, 48))) == ((32, 32), (32, 32))
    assert crop_bounds(fingerprint((2048, 2048), length=1)) == ((64, 64), (1024, 1024))


def test_crops_keep_the_shape_of_the_images() -> None:
    assert crops(((64, 64), (352, 480))) == [(352, 480), (256, 352), (160, 224), (128, 160), (64, 96)]
    assert crops(((96, 96), (96, 96))) == [(96, 96)]


#: A step of one microsecond for each pixel, and ten bytes.
COST = Cost(0, 1e-6, 0, 10)
SIZES, BATCHES = [(100, 100), (50, 50)], [16, 8, 4, 2]


@pytest.mark.parametrize(
    ('seconds', 'memory', 'pixels', 'expected'),
    [
        (1000, math.inf, 1e9, ((100, 100), 16)),  # 0.16 s for a step: 6250 steps
        (100, math.inf, 1e9, ((100, 100), 8)),  # 625 steps of 16, but 1250 of 8
        (50, math.inf, 1e9, ((50, 50), 16)),  # 625 steps of 8, but 1250 of 16 with the smaller crop
        (15, math.inf, 1e9, ((50, 50), 4)),  # 750 steps of 8, and of 4 with the large crop only 375
        (1, math.inf, 1e9, ((50, 50), 2)),  # too short for 1000 steps: as many as possible
        (1000, 1e6, 1e9, ((100, 100), 8)),  # 800 KB of 80 % of 1 MB
        (1000, 4e5, 1e9, ((100, 100), 2)),  # 200 KB; 4 would need 400
        (1000, 1, 1e9, ((50, 50), 2)),  # too little for anything: the smallest
        (1000, math.inf, 1e6, ((100, 100), 4)),  # a twentieth of the pixels are 5 crops
        (1000, math.inf, 1, ((100, 100), 2)),  # never fewer than 2
    ],
)
def test_crop_and_batch(seconds: float, memory: float, pixels: float, expected: object) -> None:
    assert choose_size(SIZES, BATCHES, COST, Budget(seconds, memory), pixels) == expected


def test_too_short_for_enough_steps_of_any_size() -> None:
    # Steps times root are the most where the constant part is as long as the other: 20 or 40 thousand pixels.
    assert choose_size(SIZES, BATCHES, Cost(0.02, 1e-6), Budget(1), 1e9) == ((50, 50), 8)
    assert choose_size(SIZES, BATCHES, Cost(0.04, 1e-6), Budget(1), 1e9) == ((50, 50), 16)
    assert choose_size(SIZES, BATCHES, Cost(1.0, 1e-6), Budget(1), 1e9) == ((100, 100), 16)


def test_images_are_reduced_only_so_far_that_objects_remain() -> None:
    # A quarter of 400 x 400 are 200 x 200, so a crop of 100 x 100 needs half the scale.
    assert working_scale(fingerprint((400, 400), areas=[[900.0]]), (100, 100)) == 0.5
    assert working_scale(fingerprint((400, 400), areas=[[900.0], [144.0]]), (100, 100)) == 0.67  # 8 / 12
    assert working_scale(fingerprint((400, 400), areas=[[900.0], [100.0]]), (100, 100)) == 1  # 8 / 10
    assert working_scale(fingerprint((400, 400), areas=[[900.0]]), (160, 160)) == 1  # 0.8 is not worth it
    assert working_scale(fingerprint((400, 400)), (100, 100)) == 1  # no objects are known


def test_the_jitter_is_half_the_range_of_sizes_within_a_class() -> None:
    sides = np.array([10.0] * 3 + [20.0] * 3 + [40.0] * 3)  # quartiles 10 and 40
    assert jitter(fingerprint(areas=[list(sides**2)])) == 2
    sides = np.array([10.0] * 4 + [12.0] + [22.5] * 4)  # 1.5 is the root of 2.25
    assert jitter(fingerprint(areas=[list(sides**2)])) == 1.5
    assert jitter(fingerprint(areas=[[100.0] * 9])) == 1.25
    assert jitter(fingerprint(areas=[[1.0, 1e6]])) == 1.25  # too few objects


def test_rare_classes() -> None:
    presence = [[1, 1 if image < 1 else 0, 0] for image in range(10)]
    assert balance_threshold(fingerprint(presence=presence)) == 0.2  # one in ten
    assert balance_threshold(fingerprint(presence=[[1, 1], [1, 0], [1, 0], [1, 0]])) is None  # one in four
    assert balance_threshold(fingerprint(presence=[[1, 0]] * 4)) is None  # a class that never occurs
    rare = fingerprint(images=20, presence=presence)
    assert samples_per_epoch(rare, None) == 20
    assert samples_per_epoch(rare, 0.2) == pytest.approx(20 * (9 + math.sqrt(0.2 / 0.1)) / 10)


def test_steps_of_an_epoch() -> None:
    assert [batches_per_epoch(*each) for each in [(20, 8), (3, 8), (16.4, 8)]] == [2, 1, 2]


def test_workers() -> None:
    assert choose_workers(1.0, 2.0, 8) == 1
    assert choose_workers(2.0, 1.0, 8) == 3
    assert choose_workers(2.0, 1.0, 3) == 2
    assert choose_workers(100.0, 1.0, 64) == 8
    assert choose_workers(100.0, 1.0, 1) == 0


def test_a_cache_only_where_decoding_matters_and_the_disk_has_room() -> None:
    assert choose_cache(2e9, 0.1, 1.0, 1e11) == 2.1
    assert choose_cache(2e9, 0.01, 1.0, 1e11) is None
    assert choose_cache(2e9, 0.1, 1.0, 1e10) is None
    assert choose_cache(1e6, 0.1, 1.0, 1e10) == 0.1


def test_epochs_fit_into_the_time_with_their_validations() -> None:
    # Validations of 2 s every second epoch of 9 s are a tenth: 20 s for two epochs.
    assert choose_epochs(300, 9, 2) == (30, 2)
    assert choose_epochs(1000, 10, 0) == (100, 2)  # at most 50 validations
    assert choose_epochs(1000, 100, 100) == (6, 2)  # at least 5 of them would be 10 epochs; 150 s an epoch
    assert choose_epochs(1e6, 1, 0) == (1000, 20)
    assert choose_epochs(1, 100, 1) == (1, 1)


def test_weights_are_capped() -> None:
    assert capped(np.array([0.456, 12.0, 0.0])) == [0.46, 10.0, 1.0]
