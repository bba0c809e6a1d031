"""Which samples train and which validate: held out, k-fold, or as a folder of lists says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglight.data.facts import count_labels
from seglight.data.sources.base import Sample
from seglight.data.sources.paths import read_list, with_slashes
from seglight.environment import cores
from seglight.errors import ConfigError, DataError

#: The lists of a split in its folder, one image path a line.
LISTS = {'train': 'train.txt', 'val': 'val.txt'}


#: A held-out fraction is rounded to so many parts at most: dealing takes time in proportion to them.
MAX_PARTS = 50


@dataclass
class Split:
    """How the samples of `data.train` are divided; one of `val_fraction`, `fold` and `folder` is given.

    The classes are spread evenly, and images of one group stay together.

    Attributes:
        val_fraction: share of the images that validate, between 0 and 1.
        fold: the fold that validates, `2 of 5`; folds count from 1.
        folder: folder with `train.txt` and `val.txt`, such as the `split` of a run.
        group: regular expression that finds the group in an image's name, such as `^[^_]+` for all before the
            first underscore; its first bracket if it has any. By default every image is a group of its own.
    """

    val_fraction: float | None = None
    fold: str | int | None = None
    folder: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        """Check what was given.

        Raises:
            ConfigError: if not exactly one way is given, or its value makes no sense.
        """
        ways = {'val_fraction': self.val_fraction, 'fold': self.fold, 'folder': self.folder}
        if sum(value is not None for value in ways.values()) != 1:
            raise ConfigError('data.split', f'needs one of {", ".join(ways)}')
        if self.val_fraction is not None and not 0 < self.val_fraction < 1:
            message = f'must be between 0 and 1, got {self.val_fraction}'
            raise ConfigError('data.split.val_fraction', message)
        if self.fold is not None:
            found = re.fullmatch(r'\s*(\d+)\s*(?:of|/)\s*(\d+)\s*', str(self.fold))
            if not found or not 1 <= int(found[1]) <= int(found[2]) or int(found[2]) < 2:
                message = f"must look like '2 of 5' (starting at 1), got '{self.fold}'"
                raise ConfigError('data.split.fold', message)
        try:
            re.compile(self.group or '')
        except re.error as error:
            raise ConfigError('data.split.group', f'is not a regular expression: {error}') from error

    def parts(self, groups: int) -> tuple[int, int, int]:
        """Return the first of the parts that validate, how many of them do, and the number of all parts.

        Args:
            groups: number of groups that are divided.
        """
        if self.fold is not None:
            fold, folds = (int(number) for number in re.findall(r'\d+', str(self.fold)))
            return fold - 1, 1, folds
        most = max(2, min(groups, MAX_PARTS))
        share = Fraction(self.val_fraction or 0).limit_denominator(most)
        share = min(max(share, Fraction(1, most)), Fraction(most - 1, most))
        return 0, share.numerator, share.denominator

    def group_of(self, name: str) -> str:
        """Return the group of an image by its name.

        Raises:
            DataError: if `group` finds nothing in it.
        """
        if self.group is None:
            return name
        found = re.search(self.group, name)
        group = None if found is None else found[1 if found.re.groups else 0]
        if group is None:  # also where the bracket is optional
            raise DataError(f"data.split.group '{self.group}' finds nothing in the image name '{name}'")
        return group


def divided(
    samples: Sequence[Sample], split: Split, presence: npt.NDArray[np.bool_], seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Return the samples that train and those that validate; those that only train are not divided.

    Args:
        samples: all of them, in their order.
        split: how.
        presence: which classes each sample shows, bool `[N, C]`.
        seed: of the order in which groups of equal classes are dealt.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    dealt = [index for index, sample in enumerate(samples) if not sample.only_train]
    held = divide([samples[index] for index in dealt], split, presence[dealt], seed)
    validates = {index for index, chosen in zip(dealt, held, strict=True) if chosen}
    train = [sample for index, sample in enumerate(samples) if index not in validates]
    return train, [samples[index] for index in sorted(validates)]


def divide(
    samples: Sequence[Sample], split: Split, presence: npt.NDArray[np.bool_], seed: int
) -> npt.NDArray[np.bool_]:
    """Return which samples validate, bool `[N]`.

    scikit-learn's `StratifiedGroupKFold` over one row for each class of each image: classes are spread evenly
    over the parts, and all rows of a group, hence of an image, stay together.

    Args:
        samples: what is divided.
        split: how.
        presence: which classes each sample shows, bool `[N, C]`.
        seed: of the order in which groups of equal classes are dealt.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # late: it takes a second

    if not samples:
        raise DataError('data.split has nothing to divide: every source of data.train has only_train')
    names = [split.group_of(sample.name) for sample in samples]
    groups = np.unique(names, return_inverse=True)[1]
    number = int(groups.max()) + 1
    first, held, count = split.parts(number)
    if number < count:
        what = 'images' if split.group is None else 'groups'
        raise DataError(f'data.split makes {count} parts, but data.train has only {number} {what}')
    shown = np.column_stack([presence, ~presence.any(1)])  # an image that shows no class is one of a class of its own
    rows, classes = np.nonzero(shown)
    validates = np.zeros(len(samples), dtype=bool)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='The least populated class')  # it cannot be in every part
        parts = [np.unique(rows[part]) for _, part in folds.split(rows[:, None], classes, groups[rows])]
    validates[np.concatenate(parts[first : first + held])] = True
    return validates


def pixels_of(samples: Sequence[Sample], num_classes: int) -> npt.NDArray[np.int64]:
    """Read all masks and return the pixels of each class, int64 `[N, num_classes]`; none where one cannot be read."""

    def count(sample: Sample) -> npt.NDArray[np.int64]:
        if sample.mask is None:
            return np.zeros(num_classes, dtype=np.int64)
        try:
            mask = sample.mask.read()
        except DataError:  # the checks tell of it, wherever the sample lands
            return np.zeros(num_classes, dtype=np.int64)
        return count_labels(mask)[:num_classes]

    with ThreadPoolExecutor(cores()) as pool:
        return np.array(list(pool.map(count, samples)), dtype=np.int64).reshape(len(samples), num_classes)


def list_texts(train: Sequence[Sample], val: Sequence[Sample], root: Path) -> dict[str, str]:
    """Return the text of each of `LISTS`: image paths relative to the root of the data, or else absolute."""
    return {
        LISTS[name]: ''.join(f'{path}\n' for path in dict.fromkeys(_listed(sample, root) for sample in samples))
        for name, samples in (('train', train), ('val', val))
    }


def read_lists(folder: Path, samples: Sequence[Sample], root: Path) -> tuple[list[Sample], list[Sample]]:
    """Return the samples that the lists of a folder name; what neither names is left out.

    Samples that only train are in train, whatever the lists name.

    Raises:
        DataError: if a list is missing, names an image that is not among the samples, or one to validate on that is
            only to train on.
    """
    known: dict[str, list[Sample]] = {}
    for sample in samples:
        known.setdefault(_listed(sample, root), []).append(sample)
    result = []
    for name in LISTS.values():
        lines = [line if line in known else with_slashes(line) for line in read_list(folder / name)]
        gone = next((line for line in lines if line not in known), None)
        if gone is not None:
            raise DataError(f'{folder / name} names {gone}, which is not among the images of data.train')
        result.append([sample for line in lines for sample in known[line]])
    train, val = result
    marked = next((sample for sample in val if sample.only_train), None)
    if marked is not None:
        raise DataError(f'{folder / LISTS["val"]} names {marked.image}, whose source has only_train: true; remove one')
    return [*(each for each in train if not each.only_train), *(each for each in samples if each.only_train)], val


def _listed(sample: Sample, root: Path) -> str:
    """Return the path of an image as lists name it."""
    path = sample.image
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.absolute().as_posix()
