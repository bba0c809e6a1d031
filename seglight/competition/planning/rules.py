"""The rules that turn a fingerprint and a few measurements into settings. Each is a function without side effects."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from seglight.array_types import Floats, Size
from seglight.competition.planning.fingerprint import Fingerprint
from seglight.data.sampling import class_balance

#: Sides of crops are multiples of this, the stride of most backbones.
STRIDE = 32

#: Smallest side of a crop, unless the images are smaller; largest area of one.
MIN_CROP, MAX_CROP_AREA = 64, 1024 * 1024

#: Fractions of the largest crop that are tried in turn while the time allows too few steps.
SHRINKS = (1.0, 0.75, 0.5, 0.375, 0.25)

#: Batches to choose from. nnU-Net's smallest is 2, which BatchNorm needs, too; mmseg trains with 8 or 16.
BATCHES = (16, 8, 4, 2)
USUAL_BATCH = 8

#: Share of the pixels of the training set that a batch may have at most, as in nnU-Net.
MAX_SHARE = 0.05

#: Optimizer steps below which smaller crops, then smaller batches, are better than fewer steps.
MIN_STEPS = 1000

#: Share of an image that a crop should cover; as in nnU-Net, images are reduced if it covers less.
COVERAGE = 0.25

#: Median side that the objects of each class keep when images are reduced.
MIN_SIDE = 8

#: Reductions weaker than this are not worth their loss of detail.
WORTHWHILE = 0.75

#: Range of the factors by which images are enlarged or reduced at random; mmseg's is 2.
MIN_JITTER, MAX_JITTER = 1.25, 2.0

#: Objects of a class that its variation of sizes needs.
MIN_OBJECTS = 8

#: Share of the images below which a class is rare.
RARE = 0.2

#: Largest class weight.
MAX_WEIGHT = 10.0

#: Maximum of epochs, as in nnU-Net.
MAX_EPOCHS = 1000

#: Share of the time for validation, and validations of a run at least and at most.
VALIDATION, MIN_VALIDATIONS, MAX_VALIDATIONS = 0.1, 5, 50

#: Share of the memory to use, and of the free disk for the cache.
MEMORY, DISK = 0.8, 0.1

#: Share of the time for an image above which decoding is worth a cache.
SLOW_DECODING = 0.05


@dataclass(frozen=True)
class Cost:
    """What a training step costs: time and memory, each a constant and a part for each pixel of the batch.

    Attributes:
        seconds: of the constant part.
        seconds_per_pixel: of the other.
        bytes: of the constant part.
        bytes_per_pixel: of the other.
    """

    seconds: float
    seconds_per_pixel: float
    bytes: float = 0.0
    bytes_per_pixel: float = 0.0

    def step(self, crop: Size, batch: int) -> float:
        """Return the seconds of a step."""
        return self.seconds + self.seconds_per_pixel * crop[0] * crop[1] * batch

    def memory(self, crop: Size, batch: int) -> float:
        """Return the bytes of a step."""
        return self.bytes + self.bytes_per_pixel * crop[0] * crop[1] * batch


@dataclass(frozen=True)
class Budget:
    """What a run may use.

    Attributes:
        seconds: for the whole run.
        bytes: of memory; infinite if unknown.
    """

    seconds: float
    bytes: float = math.inf


def line_through(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """Return constant and slope of the line through two points `(x, y)`, neither below 0.

    A measured slope below 0 is noise; then the line leads from the origin through the second point.
    """
    (x1, y1), (x2, y2) = first, second
    slope = (y2 - y1) / (x2 - x1)
    constant = y1 - slope * x1
    return (constant, slope) if slope > 0 and constant >= 0 else (0.0, y2 / x2)


def crop_bounds(found: Fingerprint) -> tuple[Size, Size]:
    """Return the smallest and the largest crop.

    The largest is the median image, as in nnU-Net, with at most `MAX_CROP_AREA` pixels; the smallest shows the median
    object with as much around it, so each side is twice the median of the longer sides.
    """
    height, width = found.size
    shrink = min(1.0, math.sqrt(MAX_CROP_AREA / (height * width)))
    largest = (_down(height * shrink), _down(width * shrink))
    side = max(MIN_CROP, math.ceil(2 * found.length / STRIDE) * STRIDE)
    return (min(side, largest[0]), min(side, largest[1])), largest


def _down(side: float) -> int:
    return max(STRIDE, int(side) // STRIDE * STRIDE)


def crops(bounds: tuple[Size, Size]) -> list[Size]:
    """Return the crops to choose from, the largest first, each with the shape of the images as far as possible."""
    smallest, largest = bounds
    sizes = [
        (max(smallest[0], _down(largest[0] * shrink)), max(smallest[1], _down(largest[1] * shrink)))
        for shrink in SHRINKS
    ]
    return list(dict.fromkeys(sizes))


def choose_size(sizes: list[Size], batches: list[int], cost: Cost, budget: Budget, pixels: float) -> tuple[Size, int]:
    """Return the crop and the batch: the largest crop that allows `MIN_STEPS` steps with a usual batch.

    Usual is `USUAL_BATCH` or more, or else the largest that memory and data allow: as in nnU-Net, a batch has at most
    `MAX_SHARE` of the training set. If the time is too short for the smallest crop, batches become smaller, too. If it
    is too short for all, the number of steps times the root of the pixels of a step is the largest: averaging over
    more pixels reduces the noise of a step by the root of their number.

    Args:
        sizes: crops to choose from, the largest first.
        batches: to choose from, the largest first.
        cost: of a step.
        budget: time and memory.
        pixels: of the whole training set.
    """

    def allowed(crop: Size) -> list[int]:
        most = max(MAX_SHARE * pixels / (crop[0] * crop[1]), batches[-1])
        return [each for each in batches if each <= most and cost.memory(crop, each) <= MEMORY * budget.bytes]

    usual = [(crop, batch) for crop in sizes for batch in _usual(allowed(crop))]
    smaller = [(crop, batch) for batch in batches for crop in sizes if batch in allowed(crop)]
    possible = [*usual, *(each for each in smaller if each not in usual)] or [(sizes[-1], batches[-1])]
    long = (each for each in possible if budget.seconds / cost.step(*each) >= MIN_STEPS)
    return next(long, max(possible, key=lambda each: math.sqrt(math.prod(each[0]) * each[1]) / cost.step(*each)))


def _usual(batches: list[int]) -> list[int]:
    return [batch for batch in batches if batch >= USUAL_BATCH] or batches[:1]


def working_scale(found: Fingerprint, crop: Size) -> float:
    """Return the factor by which to reduce images, 1 for none: a crop should cover `COVERAGE` of the median image.

    The objects of each class keep a median side of `MIN_SIDE` pixels.
    """
    height, width = found.size
    wanted = math.sqrt(crop[0] * crop[1] / (COVERAGE * height * width))
    sides = found.sides()
    known = sides[~np.isnan(sides)]
    detail = MIN_SIDE / float(known.min()) if len(known) else 1.0
    factor = round(max(wanted, detail), 2)
    return factor if factor <= WORTHWHILE else 1.0


def jitter(found: Fingerprint) -> float:
    """Return the largest random factor of the scale: half of the range in which the middle half of the objects lies.

    That is the root of the ratio of the third and the first quartile of the sides within a class, the median over the
    classes with at least `MIN_OBJECTS` objects; at least `MIN_JITTER` and at most `MAX_JITTER`.
    """
    ratios = [
        math.sqrt(np.divide(*np.quantile(np.sqrt(areas), [0.75, 0.25])))
        for areas in found.areas
        if len(areas) >= MIN_OBJECTS
    ]
    spread = float(np.median(ratios)) if ratios else MIN_JITTER
    return round(min(max(spread, MIN_JITTER), MAX_JITTER), 2)


def balance_threshold(found: Fingerprint) -> float | None:
    """Return the share of images below which a class is rare; None if no class that occurs is as rare."""
    shares = found.presence.mean(0)
    return RARE if ((shares > 0) & (shares < RARE)).any() else None


def samples_per_epoch(found: Fingerprint, threshold: float | None) -> float:
    """Return the number of samples in an epoch, with those that are repeated for their sources and rare classes."""
    factor = 1.0 if threshold is None else float(class_balance(found.presence, threshold).mean())
    return found.images * found.repeats * factor


def batches_per_epoch(samples: float, batch: int) -> int:
    """Return the batches of an epoch, which leaves out an incomplete one."""
    return max(1, round(samples) // batch)


def choose_workers(loading: float, step: float, cores: int) -> int:
    """Return the number of loader processes: as many as load a batch, with half as much to spare, during a step.

    Args:
        loading: seconds to load a batch in one process.
        step: seconds of a step.
        cores: of the machine, one of which trains.
    """
    return max(1, min(math.ceil(1.5 * loading / step), cores - 1, 8)) if cores > 1 else 0


def choose_cache(decoded: float, decoding: float, step: float, free: float) -> float | None:
    """Return the size of the cache in gigabytes; None if decoding is no matter, or the disk too full.

    Args:
        decoded: bytes of all decoded images and masks.
        decoding: seconds to decode an image with its mask.
        step: seconds of training for an image.
        free: bytes of the disk.
    """
    if decoding < SLOW_DECODING * step or decoded > DISK * free:
        return None
    return math.ceil(decoded / 1e8 * 1.05) / 10


def choose_epochs(seconds: float, training: float, validation: float) -> tuple[int, int]:
    """Return the epochs that fit into the time, at least one, and the epochs from one validation to the next.

    Args:
        seconds: of the run.
        training: seconds of an epoch without validation.
        validation: seconds of a validation.
    """
    without = max(1, min(MAX_EPOCHS, int(seconds / training)))
    rare = math.ceil(validation * (1 - VALIDATION) / (VALIDATION * training))
    every = max(1, math.ceil(without / MAX_VALIDATIONS), min(rare, without // MIN_VALIDATIONS))
    epochs = min(MAX_EPOCHS, int(seconds / (training + validation / every)))
    return max(1, epochs), min(every, max(1, epochs))


def capped(weights: Floats) -> list[float]:
    """Return class weights with two digits and at most `MAX_WEIGHT`; 1 for a class without pixels, which needs none."""
    return [round(min(float(weight), MAX_WEIGHT), 2) or 1.0 for weight in weights]
