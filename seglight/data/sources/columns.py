"""Samples in columns: a few arrays in place of objects, which loader processes share and which cost no time to copy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress
from typing import overload

import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints
from seglight.data.sources.base import Sample


class Rows(ABC):
    """The samples of a source, each of which is made when it is asked for."""

    #: whether every sample has a mask or a fault
    labelled: bool
    #: whether files are fetched from another machine, so that reading all of them at the start would take too long
    remote: bool = False
    #: of the source, for what is kept of it, and of what its samples depend on; empty if nothing is
    name: str = ''
    key: str = ''

    @abstractmethod
    def __len__(self) -> int:
        """Return their number."""

    @abstractmethod
    def sample(self, row: int) -> Sample:
        """Return one of them."""

    @abstractmethod
    def names(self) -> Iterator[str]:
        """Yield their names."""

    @abstractmethod
    def images(self) -> Iterator[str]:
        """Yield the paths of their images."""

    def mask_files(self) -> Iterator[tuple[str, str]]:
        """Yield the path of the file of each mask, and the name of its sample."""
        samples = map(self.sample, range(len(self)))
        return ((str(sample.mask.path), sample.name) for sample in samples if sample.mask is not None)

    def folders(self) -> Sequence[str]:
        """Return the folders of all files."""
        return ()

    @abstractmethod
    def faults(self) -> Iterator[str]:
        """Yield the faults that the source knows."""


class Listed(Rows):
    """Samples as objects, as sources make them whose lists are short, or that a user wrote."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.labelled = all(sample.mask is not None or sample.fault is not None for sample in samples)

    def __len__(self) -> int:
        """Return their number."""
        return len(self.samples)

    def sample(self, row: int) -> Sample:
        """Return one of them."""
        return self.samples[row]

    def names(self) -> Iterator[str]:
        """Yield their names."""
        return (sample.name for sample in self.samples)

    def images(self) -> Iterator[str]:
        """Yield the paths of their images."""
        return (str(sample.image) for sample in self.samples)

    def faults(self) -> Iterator[str]:
        """Yield the faults that the source knows."""
        return (sample.fault for sample in self.samples if sample.fault is not None)


@dataclass(frozen=True)
class Part:
    """The samples of a source as a data set uses them; the attributes are those of `Sample`."""

    rows: Rows
    repeat: float | None = None
    only_train: bool | None = None
    source: str | None = None
    masks: bool = True

    def sample(self, row: int) -> Sample:
        """Return a sample."""
        sample = self.rows.sample(row)
        if self.source is not None:
            sample = replace(sample, repeat=self.repeat or 1.0, only_train=bool(self.only_train), source=self.source)
        return sample if self.masks else replace(sample, mask=None)


class Samples(Sequence[Sample]):
    """Samples of several sources, some or all of each, in any order.

    Args:
        parts: the sources.
        chosen: the indices of the samples among all of the sources, one source after the other, int64 `[N]`;
            None for all.
    """

    def __init__(self, parts: Sequence[Part], chosen: Ints | None = None) -> None:
        self.parts = tuple(parts)
        self.firsts = [0, *np.cumsum([len(part.rows) for part in self.parts]).tolist()]
        self.chosen = chosen

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Samples:
        """Return any sequence of samples as one of these."""
        return samples if isinstance(samples, cls) else cls([Part(Listed(samples))])

    @classmethod
    def joined(cls, several: Iterable[Samples]) -> Samples:
        """Return the samples of all, one after the other."""
        several = list(several)
        offsets = np.cumsum([0, *(each.firsts[-1] for each in several)])
        chosen = [each.indices + offset for each, offset in zip(several, offsets[:-1], strict=True)]
        parts = [part for each in several for part in each.parts]
        return cls(parts, np.concatenate(chosen) if any(each.chosen is not None for each in several) else None)

    @property
    def indices(self) -> Ints:
        """The indices of the samples among all of the sources, int64 `[N]`."""
        return np.arange(self.firsts[-1]) if self.chosen is None else self.chosen

    def take(self, positions: Iterable[int] | Ints) -> Samples:
        """Return the samples at some positions, in their order."""
        if not isinstance(positions, np.ndarray):
            positions = np.fromiter(positions, np.int64)
        return Samples(self.parts, positions if self.chosen is None else self.chosen[positions])

    def rows(self) -> Iterator[tuple[Part, Ints, Ints]]:
        """Yield for each source its part, the positions of its samples here, and its rows, int64 `[N]` each."""
        indices = self.indices
        for number, part in enumerate(self.parts):
            positions = np.flatnonzero((indices >= self.firsts[number]) & (indices < self.firsts[number + 1]))
            yield part, positions, indices[positions] - self.firsts[number]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.firsts[-1] if self.chosen is None else len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        """Return a sample, or some of them."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        index = range(len(self))[index]
        found = index if self.chosen is None else int(self.chosen[index])
        number = bisect_right(self.firsts, found) - 1
        return self.parts[number].sample(found - self.firsts[number])

    def __iter__(self) -> Iterator[Sample]:
        """Yield the samples; none is kept."""
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether another sequence has the same samples."""
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Sample.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]  # like that of a list

    @property
    def labelled(self) -> npt.NDArray[np.bool_]:
        """Whether each sample has a mask, bool `[N]`; also for those with a fault."""
        labelled = np.zeros(len(self), np.bool_)
        for part, positions, rows in self.rows():
            if part.masks:
                known = isinstance(part.rows, Listed)
                labelled[positions] = (
                    [part.rows.sample(row).mask is not None for row in rows.tolist()] if known else part.rows.labelled
                )
        return labelled

    @property
    def only_train(self) -> npt.NDArray[np.bool_]:
        """Whether each sample must not be validated on, bool `[N]`."""
        only_train = np.zeros(len(self), np.bool_)
        for part, positions, rows in self.rows():
            only_train[positions] = (
                bool(part.only_train)
                if part.source is not None
                else [part.sample(row).only_train for row in rows.tolist()]
            )
        return only_train

    @cached_property
    def repeats(self) -> npt.NDArray[np.float64]:
        """How often each sample is used per epoch, float64 `[N]`."""
        repeats = np.empty(len(self))
        for part, positions, rows in self.rows():
            repeats[positions] = (
                part.repeat or 1.0 if part.source is not None else [part.sample(row).repeat for row in rows.tolist()]
            )
        return repeats

    def texts(self, of: str) -> list[str]:
        """Return the `names` of all samples, or the paths of their `images`."""
        found: list[str] = [''] * len(self)
        for part, positions, rows in self.rows():
            known: Iterable[str] = getattr(part.rows, of)()
            if len(rows) == len(self) == len(part.rows) and (rows == positions).all():
                return list(known)
            chosen, places = np.unique(rows, return_inverse=True)
            is_chosen = np.zeros(len(part.rows), np.bool_)
            is_chosen[chosen] = True
            texts = list(compress(known, is_chosen.tobytes()))
            for position, place in zip(positions.tolist(), places.tolist(), strict=True):
                found[position] = texts[place]
        return found
