"""Report near-duplicates across train, val and test, and propose groups that keep them in one fold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seglight.array_types import Ints
from seglight.console import labelled
from seglight.counting import counted
from seglight.data import SegmentationDataModule
from seglight.data.duplicates import connected, fingerprints, similar_groups
from seglight.data.sources import Sample
from seglight.data.splits import groups_of, listed_paths
from seglight.errors import DataError, UsageError, say
from seglight.files import as_bytes, csv_text, write_new

#: Maximum of groups, and of images of each, that are printed.
SHOWN_GROUPS, SHOWN_IMAGES = 10, 4

#: Splits that a model is trained on, and those that it is scored on.
PAIRS = (('train', 'val'), ('train', 'test'), ('val', 'test'))


class Image(NamedTuple):
    """An image of a split: its path as in lists of images, and the group that the config gives it."""

    split: str
    path: str
    group: str


def propose_groups(module: SegmentationDataModule, output: Path) -> None:
    """Print the near-duplicates, and write a file of groups if there are any.

    The groups join those of `data.split.group` whose images are near-duplicates.

    Args:
        module: the data.
        output: the file, CSV with the columns `group`, `split` and `image`.

    Raises:
        UserError: if the images cannot be listed, or the file exists with another content.
    """
    samples = _samples(module)
    images = _images(module, samples)
    groups = similar_groups(fingerprints([sample.image for _, sample in samples], module.value_range))
    similar = _members(groups)
    if not similar:
        say(f'no near-duplicates among {counted(len(images), "image")}')
        return
    for line in _lines(images, similar):
        say(line)
    named = np.unique([image.group for image in images], return_inverse=True)
    # Images of one group of the config are joined by way of the first of them.
    first = np.unique(named[1], return_index=True)[1]
    joined = connected(groups, np.column_stack([np.arange(len(images)), first[named[1]]]))
    try:
        write_new({output: as_bytes(_csv(images, _members(joined)))})
    except OSError as error:
        raise UsageError(f'{output} cannot be written: {error.strerror}; choose another --output') from error
    say(labelled('Groups', f'{output}, for data.split.group or seglight folds --group'))


def _samples(module: SegmentationDataModule) -> list[tuple[str, Sample]]:
    """Return the samples of all splits with the names of their splits, each image once."""
    splits = module.samples('fit')
    try:
        splits |= module.samples('predict')
    except DataError as error:
        say(f'data.test is left out: {error}')
    found: dict[Path, tuple[str, Sample]] = {}
    for name, samples in splits.items():
        for sample in samples:
            found.setdefault(sample.image, (name, sample))
    return list(found.values())


def _images(module: SegmentationDataModule, samples: Sequence[tuple[str, Sample]]) -> list[Image]:
    """Return the images; those of test, and all without `data.split.group`, are groups of their own."""
    split = module.split
    paths = listed_paths([sample for _, sample in samples], module.folder)
    own = list(paths)
    if split is not None and split.group is not None:
        grouped = [at for at, (name, _) in enumerate(samples) if name != 'test']
        groups = groups_of([samples[at][1] for at in grouped], split, module.folder)
        for at, group in zip(grouped, groups, strict=True):
            own[at] = f'group {group}'
    return [Image(name, path, group) for (name, _), path, group in zip(samples, paths, own, strict=True)]


def _members(groups: Ints) -> list[list[int]]:
    """Return the images of each group of at least two, in order of the first."""
    members: dict[int, list[int]] = {}
    for at, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(at)
    return [each for each in members.values() if len(each) > 1]


def _lines(images: Sequence[Image], similar: Sequence[Sequence[int]]) -> list[str]:
    """Return the lines about the near-duplicates."""
    total = sum(len(group) for group in similar)
    lines = [f'near-duplicates: {counted(len(similar), "group")} with {total} of {counted(len(images), "image")}']
    for group in similar[:SHOWN_GROUPS]:
        named = [f'{images[at].split} {images[at].path}' for at in group]
        more = f' and {len(named) - SHOWN_IMAGES} more' if len(named) > SHOWN_IMAGES else ''
        lines.append(f'  {", ".join(named[:SHOWN_IMAGES])}{more}')
    if len(similar) > SHOWN_GROUPS:
        lines.append(f'  and {len(similar) - SHOWN_GROUPS} more groups')
    for first, second in PAIRS:
        count = sum({first, second} <= {images[at].split for at in group} for group in similar)
        if count:
            effect = '; metrics of val will be too optimistic' if second == 'val' else ''
            verb = 'is' if count == 1 else 'are'
            lines.append(f'warning: {counted(count, "group")} {verb} in {first} and in {second}{effect}')
    return lines


def _csv(images: Sequence[Image], groups: Sequence[Sequence[int]]) -> str:
    """Return the file of groups, whose numbers start at 1."""
    rows = [[number, images[at].split, images[at].path] for number, group in enumerate(groups, start=1) for at in group]
    return csv_text([['group', 'split', 'image'], *rows])
