"""Augmentations that combine several training samples: CutMix, Mosaic, CopyPaste.

They run after the transforms, usually on crops of one size; a partner of another size is cropped or padded to that of
the sample.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.config.classes import construct, find_class, name_and_arguments
from seglight.data.arguments import check_bounds, check_range, is_list
from seglight.errors import ConfigError, DataError, UsageError
from seglight.similar import nearest

Pair = tuple[UInt8Array, UInt8Array]


class Mix(ABC):
    """Combines a sample with others.

    Args:
        p: probability of the mix.

    Raises:
        ValueError: if `p` is not from 0 to 1.
    """

    #: Whether `prepare` needs the classes that each sample shows; then all masks are read once.
    needs_presence = False

    def __init__(self, p: float = 0.5) -> None:
        check_bounds(0, 1, p=p)
        self.p = p

    def prepare(self, classes: Sequence[str], presence: npt.NDArray[np.bool_] | None) -> None:  # noqa: B027
        """Prepare for the data before training.

        Args:
            classes: names of the classes.
            presence: whether each sample shows each class, bool `[N, C]`, if `needs_presence`; otherwise possibly None.
        """

    @abstractmethod
    def partners(self, count: int, rng: np.random.Generator) -> list[int]:
        """Draw the indices, below `count`, of the partners."""

    @abstractmethod
    def join(self, pair: Pair, partners: Sequence[Pair], rng: np.random.Generator, padding: int) -> Pair:
        """Return image and mask of the combined sample, with the size of the first.

        Args:
            pair: image uint8 `[H, W, 3]` and mask uint8 `[H, W]` of the sample.
            partners: images and masks of the partners.
            rng: the random generator.
            padding: label of padding.
        """


class CutMix(Mix):
    """Pastes a rectangle of another sample (arXiv:1905.04899).

    Args:
        p: probability of the mix.
        alpha: parameter of the beta distribution of the share of the sample that remains.
    """

    def __init__(self, p: float = 0.5, alpha: float = 1.0) -> None:
        super().__init__(p)
        check_bounds(0, alpha=alpha)
        if alpha == 0:
            raise ValueError('alpha must be above 0, got 0')
        self.alpha = alpha

    def partners(self, count: int, rng: np.random.Generator) -> list[int]:
        """Draw one sample."""
        return [int(rng.integers(count))]

    def join(self, pair: Pair, partners: Sequence[Pair], rng: np.random.Generator, padding: int) -> Pair:
        """Paste a rectangle of the partner at the same position."""
        height, width = pair[1].shape
        other = _fitted(partners[0], height, width, padding)
        side = np.sqrt(1 - rng.beta(self.alpha, self.alpha))
        rows, columns = (_around(int(rng.integers(edge)), side * edge, edge) for edge in (height, width))
        result = (pair[0].copy(), pair[1].copy())
        for target, source in zip(result, other, strict=True):
            target[rows, columns] = source[rows, columns]
        return result


class Mosaic(Mix):
    """Joins the corners of four samples at a random point, as in YOLOv4 (arXiv:2004.10934).

    Args:
        p: probability of the mix.
        center_range: `[min, max]` of the point, as shares of height and width.
    """

    def __init__(self, p: float = 0.5, center_range: Sequence[float] = (0.25, 0.75)) -> None:
        super().__init__(p)
        check_range(0, 1, center_range=center_range)
        self.center_range = center_range

    def partners(self, count: int, rng: np.random.Generator) -> list[int]:
        """Draw three samples."""
        return [int(index) for index in rng.integers(count, size=3)]

    def join(self, pair: Pair, partners: Sequence[Pair], rng: np.random.Generator, padding: int) -> Pair:
        """Keep the upper left corner of the sample, and take the other corners from its partners."""
        height, width = pair[1].shape
        row, column = (
            round(rng.uniform(self.center_range[0], self.center_range[1]) * edge) for edge in (height, width)
        )
        corners = [
            (slice(0, row), slice(column, width)),
            (slice(row, height), slice(0, column)),
            (slice(row, height), slice(column, width)),
        ]
        result = (pair[0].copy(), pair[1].copy())
        for partner, corner in zip(partners, corners, strict=True):
            for target, source in zip(result, _fitted(partner, height, width, padding), strict=True):
                target[corner] = source[corner]
        return result


class CopyPaste(Mix):
    """Pastes the pixels of rare classes from another sample, at the same position (arXiv:2012.07177).

    Args:
        classes: names of the classes to paste. First one of these classes is drawn, then a sample that shows it.
        p: probability of the mix.
    """

    needs_presence = True

    def __init__(self, classes: Sequence[str], p: float = 0.5) -> None:
        super().__init__(p)
        if not is_list(classes) or not classes:
            raise ValueError(f'classes must be a list of names in data.classes, got {classes!r}')
        self.classes = list(classes)
        self._labels: list[int] = []
        self._showing: list[npt.NDArray[np.int64]] = []

    def prepare(self, classes: Sequence[str], presence: npt.NDArray[np.bool_] | None) -> None:
        """Find the samples that show each class.

        Raises:
            UsageError: if a class is not in `data.classes`.
            DataError: if no sample shows any of the classes.
        """
        for name in self.classes:
            if name not in classes:
                message = f"data.mixes: '{name}' of CopyPaste is not in data.classes{nearest(name, classes)}"
                raise UsageError(message)
        self._labels = [list(classes).index(name) for name in self.classes]
        showing = [np.flatnonzero(presence[:, label]) for label in self._labels] if presence is not None else []
        self._showing = [indices for indices in showing if len(indices)]
        if not self._showing:
            raise DataError(f'No training image shows {" or ".join(self.classes)}, which data.mixes pastes')

    def partners(self, count: int, rng: np.random.Generator) -> list[int]:
        """Draw one of the classes, then one of the samples that show it."""
        return [int(rng.choice(self._showing[rng.integers(len(self._showing))]))]

    def join(self, pair: Pair, partners: Sequence[Pair], rng: np.random.Generator, padding: int) -> Pair:
        """Paste the pixels of the classes from the partner."""
        height, width = pair[1].shape
        image, mask = _fitted(partners[0], height, width, padding)
        pasted = np.isin(mask, self._labels)
        return np.where(pasted[..., None], image, pair[0]), np.where(pasted, mask, pair[1])


MIXES = {cls.__name__: cls for cls in (CutMix, Mosaic, CopyPaste)}


def build_mixes(specs: Sequence[dict[str, Any]], key: str) -> list[Mix]:
    """Build the mixes of a config: dicts like `{type: CutMix, p: 0.5}`, or with `class_path`.

    Raises:
        ConfigError: for an unknown type or argument, or a wrong value.
    """
    return [_build(spec, f'{key}.{index}') for index, spec in enumerate(specs)]


def _build(spec: dict[str, Any], key: str) -> Mix:
    name, arguments = name_and_arguments(spec, key, 'a mix')
    cls = find_class(name, MIXES, key)
    if cls is None or not issubclass(cls, Mix):  # checked before building: the config may come from a checkpoint
        message = f"unknown mix '{name}' ({', '.join(MIXES)}){nearest(name, MIXES)}"
        raise ConfigError(key, message)
    mix: Mix = construct(cls, arguments, name, key)
    return mix


def _around(center: int, length: float, edge: int) -> slice:
    """Return a range of this length around a center, clipped to 0 and the edge."""
    half = round(length / 2)
    return slice(max(center - half, 0), min(center + half, edge))


def _fitted(pair: Pair, height: int, width: int, padding: int) -> Pair:
    """Crop or pad image and mask at the right and bottom to a size."""
    image, mask = (each[:height, :width] for each in pair)
    if mask.shape == (height, width):
        return image, mask
    space = ((0, height - mask.shape[0]), (0, width - mask.shape[1]))
    return np.pad(image, (*space, (0, 0))), np.pad(mask, space, constant_values=padding)
