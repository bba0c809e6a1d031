"""Splitting samples into train and val: held-out fraction, k-fold, or lists in a folder."""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seglight.cores import cores
from seglight.data.facts import count_labels
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Samples
from seglight.data.sources.paths import read_list, with_slashes
from seglight.errors import ConfigError, DataError

#: Files in the folder of a split, with one image path per line.
LISTS = {'train': 'train.txt', 'val': 'val.txt'}

#: Suffix of a file of groups.
GROUPS_SUFFIX = '.csv'

#: Masks whose pixels are counted before the next ones are begun.
_COUNTED = 4096

#: Maximum denominator of a held-out fraction; stratifying takes time in proportion to it.
MAX_PARTS = 50


@dataclass
class Split:
    """How to split the samples of `data.train`; exactly one of `val_fraction`, `fold` and `folder` must be set.

    Stratified by class; images of the same group stay together.

    Attributes:
        val_fraction: share of the images to validate on, between 0 and 1.
        fold: the fold to validate on, such as `2 of 5`, starting at 1.
        folder: folder with `train.txt` and `val.txt`, such as the `split` folder of a run.
        group: regular expression for the group in an image's name, such as `^[^_]+` for the part before the
            first underscore. If it has a capturing group, that counts. Or a file of groups, `.csv`, as
            `seglight data check --duplicates` writes it. By default every image is a separate group.
    """

    val_fraction: float | None = None
    fold: str | int | None = None
    folder: str | None = None
    group: str | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: unless exactly one of the three is set, to a valid value.
        """
        ways = {'val_fraction': self.val_fraction, 'fold': self.fold, 'folder': self.folder}
        if sum(value is not None for value in ways.values()) != 1:
            raise ConfigError('data.split', f'needs exactly one of {", ".join(ways)}')
        if self.val_fraction is not None and not 0 < self.val_fraction < 1:
            message = f'must be between 0 and 1, got {self.val_fraction}'
            raise ConfigError('data.split.val_fraction', message)
        if self.fold is not None:
            found = re.fullmatch(r'\s*(\d+)\s*(?:of|/)\s*(\d+)\s*', str(self.fold))
            if not found or not 1 <= int(found[1]) <= int(found[2]) or int(found[2]) < 2:
                message = f"must look like '2 of 5' (starting at 1), got '{self.fold}'"
                raise ConfigError('data.split.fold', message)
        try:
            re.compile('' if self.has_file else self.group or '')
        except re.error as error:
            raise ConfigError('data.split.group', f'is not a regular expression: {error}') from error

    @property
    def has_file(self) -> bool:
        """Whether `group` is a file of groups."""
        return self.group is not None and self.group.endswith(GROUPS_SUFFIX)

    def parts(self, groups: int) -> tuple[int, int, int]:
        """Return the index of the first validation part, the number of validation parts, and of all parts.

        Args:
            groups: number of groups to split.
        """
        if self.fold is not None:
            fold, folds = (int(number) for number in re.findall(r'\d+', str(self.fold)))
            return fold - 1, 1, folds
        maximum = max(2, min(groups, MAX_PARTS))
        share = Fraction(self.val_fraction or 0).limit_denominator(maximum)
        share = min(max(share, Fraction(1, maximum)), Fraction(maximum - 1, maximum))
        return 0, share.numerator, share.denominator

    def group_of(self, name: str) -> str:
        """Return the group of an image.

        Raises:
            DataError: if `group` does not match its name.
        """
        if self.group is None:
            return name
        found = re.search(self.group, name)
        group = None if found is None else found[1 if found.re.groups else 0]
        if group is None:  # also if an optional capturing group is empty
            raise DataError(f"data.split.group '{self.group}' does not match the image name '{name}'")
        return group


def split_samples(
    samples: Sequence[Sample], split: Split, presence: npt.NDArray[np.bool_], seed: int, root: Path = Path()
) -> tuple[Samples, Samples]:
    """Return the samples of train and of val; samples with `only_train` stay in train.

    Args:
        samples: all samples, in order.
        split: a fraction or a fold.
        presence: whether each sample shows each class, bool `[N, C]`.
        seed: of the assignment.
        root: of the data.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    samples = Samples.of(samples)
    splittable = np.flatnonzero(~samples.only_train)
    chosen = validation_mask(samples.take(splittable), split, presence[splittable], seed, root)
    in_val = np.zeros(len(samples), dtype=bool)
    in_val[splittable] = chosen
    return samples.take(np.flatnonzero(~in_val)), samples.take(np.flatnonzero(in_val))


def validation_mask(
    samples: Sequence[Sample], split: Split, presence: npt.NDArray[np.bool_], seed: int, root: Path = Path()
) -> npt.NDArray[np.bool_]:
    """Return which samples to validate on, bool `[N]`.

    Uses scikit-learn's `StratifiedGroupKFold` with one row for each class of each image. So classes are spread evenly
    over the parts, and all rows of an image, and all images of a group, stay together.

    Args:
        samples: the samples to split.
        split: a fraction or a fold.
        presence: whether each sample shows each class, bool `[N, C]`.
        seed: of the assignment.
        root: of the data.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # late: the import takes a second

    if not samples:
        raise DataError('data.split has nothing to split: every source of data.train has only_train')
    names = groups_of(samples, split, root)
    groups = np.unique(names, return_inverse=True)[1]
    group_count = int(groups.max()) + 1
    first, held_out, count = split.parts(group_count)
    if group_count < count:
        what = 'images' if split.group is None else 'groups'
        raise DataError(f'data.split makes {count} parts, but data.train has only {group_count} {what}')
    shown = np.column_stack([presence, ~presence.any(1)])  # images without any class count as one more class
    rows, classes = np.nonzero(shown)
    in_val = np.zeros(len(samples), dtype=bool)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='The least populated class')  # a rare class cannot be in every part
        parts = [np.unique(rows[part]) for _, part in folds.split(rows[:, None], classes, groups[rows])]
    in_val[np.concatenate(parts[first : first + held_out])] = True
    return in_val


def groups_of(samples: Sequence[Sample], split: Split, root: Path) -> list[str]:
    """Return the group of each sample; with a file of groups, an image that it does not name is a group of its own.

    Args:
        samples: the samples.
        split: the groups.
        root: of the data, which the paths in a file of groups are relative to.

    Raises:
        DataError: if a name has no group, or the file is unusable or names none of the images.
    """
    if split.group is None or not split.has_file:
        return [split.group_of(name) for name in Samples.of(samples).texts('names')]
    path = Path(split.group)
    named = _read_groups(path)
    images = listed_paths(samples, root)
    if samples and not named.keys() & images:
        raise DataError(f'data.split.group: {path} names none of the images, for example {images[0]}')
    return [f'group {named[image]}' if image in named else f'image {image}' for image in images]


def _read_groups(path: Path) -> dict[str, str]:
    """Return the group of each image in a file of groups.

    Raises:
        DataError: if it cannot be read, or lacks a column.
    """
    reader = csv.DictReader(read_list(path))
    rows = list(reader)
    if not {'image', 'group'} <= set(reader.fieldnames or ()):
        raise DataError(f'data.split.group: {path} must have the columns image and group')
    return {row['image']: row['group'] for row in rows}


def pixels_of(samples: Sequence[Sample], num_classes: int) -> npt.NDArray[np.int64]:
    """Return the pixels of each class in each mask, int64 `[N, num_classes]`; zeros for masks that cannot be read."""

    def count(sample: Sample) -> npt.NDArray[np.int64]:
        if sample.mask is None:
            return np.zeros(num_classes, dtype=np.int64)
        try:
            mask = sample.mask.read()
        except DataError:  # the checks of train and val report it
            return np.zeros(num_classes, dtype=np.int64)
        return count_labels(mask)[:num_classes]

    counts = np.empty((len(samples), num_classes), dtype=np.int64)
    with ThreadPoolExecutor(cores()) as pool:
        for first in range(0, len(samples), _COUNTED):  # the pool would keep all results of one call
            chosen = range(first, min(first + _COUNTED, len(samples)))
            for index, pixels in zip(chosen, pool.map(lambda each: count(samples[each]), chosen), strict=True):
                counts[index] = pixels
    return counts


def list_texts(train: Sequence[Sample], val: Sequence[Sample], root: Path) -> dict[str, str]:
    """Return the content of each file in `LISTS`: image paths, relative to the root of the data if below it."""
    return {
        LISTS[name]: '\n'.join([*dict.fromkeys(listed_paths(samples, root)), ''])
        for name, samples in (('train', train), ('val', val))
    }


def read_lists(folder: Path, samples: Sequence[Sample], root: Path) -> tuple[Samples, Samples]:
    """Return the samples of train and of val that the lists of a folder name; leave out all others.

    Samples with `only_train` are always in train.

    Raises:
        DataError: if a list is missing or names an unknown image, or if `val.txt` names one with `only_train`.
    """
    samples = Samples.of(samples)
    known: dict[str, list[int]] = {}
    for index, path in enumerate(listed_paths(samples, root)):
        known.setdefault(path, []).append(index)
    only_train = set(np.flatnonzero(samples.only_train).tolist())
    result = []
    for name in LISTS.values():
        lines = [line if line in known else with_slashes(line) for line in read_list(folder / name)]
        unknown = next((line for line in lines if line not in known), None)
        if unknown is not None:
            raise DataError(f'{folder / name} names {unknown}, which is not among the images of data.train')
        result.append([index for line in lines for index in known[line]])
    train, val = result
    marked = next((index for index in val if index in only_train), None)
    if marked is not None:
        image = samples[marked].image
        raise DataError(f'{folder / LISTS["val"]} names {image}, whose source has only_train: true; remove one')
    return samples.take([*(each for each in train if each not in only_train), *sorted(only_train)]), samples.take(val)


def listed_paths(samples: Sequence[Sample], root: Path) -> list[str]:
    """Return the path of each image as written in lists."""
    paths = Samples.of(samples).texts('images')
    start = f'{root}{os.sep}'
    if all(path.startswith(start) for path in paths) and '..' not in root.parts and os.sep == '/':
        for index, path in enumerate(paths):  # in place: a second list of a million paths takes 80 MiB
            paths[index] = path[len(start) :]
        return paths
    return [_listed(Path(path), root) for path in paths]


def _listed(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.absolute().as_posix()
