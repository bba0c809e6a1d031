"""Checks of the files of a data set before the first training step."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seglight.array_types import Ints
from seglight.cores import cores
from seglight.data.dataset import SegmentationDataset, size_mismatch
from seglight.data.facts import SplitFacts, count_labels, is_plain
from seglight.data.header_columns import Header, read_headers
from seglight.data.images import glance, read_image
from seglight.data.places import Status, status_of
from seglight.data.sources.base import Sample
from seglight.data.sources.columns import Samples
from seglight.data.sources.folder_rows import MaskFile
from seglight.data.sources.paths import HIDDEN, paths_below
from seglight.data.value_range import ValueRange
from seglight.errors import DataError

T = TypeVar('T')

CHECKED = 1000  #: maximum number of masks, and of suspicious files, to decode per split before training
LOOKED_AT = 16  #: number of images to decode per split even if their files look fine

#: Mask suffixes to suggest when the configured one finds no file.
OTHER_SUFFIXES = (
    '.png',
    '.jpg',
    '.jpeg',
    '.tif',
    '.tiff',
    '.bmp',
    '_mask.png',
    '_gt.png',
    '_label.png',
    '.PNG',
    '.TIF',
)


def quick_faults(dataset: SegmentationDataset, facts: SplitFacts) -> dict[int, str]:
    """Check the headers of all files, and decode some of them, so that a systematic fault shows before training.

    Decoded are, at most `CHECKED` each and spread over the data set: files whose last bytes look cut off, images whose
    file size suggests a single colour, and masks. All other files are checked when they are loaded.

    Args:
        dataset: the samples.
        facts: receives the findings from the decoded masks and images.

    Returns:
        The fault of each bad sample, by index.
    """
    samples = dataset.samples
    headers = read_headers(samples, read_header)
    faults = dict(headers.faults)
    # A bad image without a mask must not stop a prediction.
    usable = samples.labelled
    usable[list(faults)] = False
    sound = _positions(usable)
    suspects = _positions(usable & headers.may_be_cut_off)
    faults |= _found(partial(_content_fault, dataset.decode), samples, _spread(suspects, CHECKED))
    small = _positions(usable & headers.may_be_plain)
    images = _found(
        partial(_check_image, dataset.value_range),
        samples,
        sorted({*_spread(small, CHECKED), *_spread(sound, LOOKED_AT)} - faults.keys()),
    )
    masks = _found(partial(counted_labels, dataset), samples, _spread(sound, CHECKED))
    for index, (fault, plain) in images.items():
        if fault is None:
            facts.add_image(samples[index].image, plain)
        else:
            faults[index] = fault
    for index, (fault, labels) in masks.items():
        if labels is not None:
            facts.add_mask(samples[index].source, labels)
        if fault is not None:
            faults.setdefault(index, fault)
    facts.samples += len(samples) - len(faults)
    return dict(sorted(faults.items()))


def _positions(chosen: npt.NDArray[np.bool_]) -> range | list[int]:
    """Return the indices of the values that are true."""
    return range(len(chosen)) if chosen.all() else np.flatnonzero(chosen).tolist()


def _spread(indices: Sequence[int], maximum: int) -> Sequence[int]:
    """Return at most `maximum` of the indices, evenly spread."""
    return indices[:: -(-len(indices) // maximum) or 1]


def _check_image(value_range: ValueRange | None, sample: Sample) -> tuple[str | None, bool]:
    """Decode an image; return its fault, and whether it has a single colour."""
    try:
        return None, is_plain(read_image(sample.image, value_range))
    except DataError as error:
        return str(error), False


def counted_labels(dataset: SegmentationDataset, sample: Sample) -> tuple[str | None, Ints | None]:
    """Read the mask of a sample.

    Returns:
        Its fault, and the number of pixels of each label, int64 `[256]`, or None if it cannot be read.
    """
    if sample.mask is None:
        return None, None
    try:
        labels = count_labels(sample.mask.read())
    except DataError as error:
        return str(error), None
    return dataset.label_fault(sample, labels), labels


def masks_without_image(folders: Iterable[Path], samples: Iterable[Sample]) -> list[Path]:
    """Return the masks in the given folders that belong to no sample, sorted.

    A file counts as a mask if its name ends like those of the masks that samples have.
    """
    starts = {folder: os.path.join(folder, '') for folder in folders}  # noqa: PTH118  (with a separator at its end)
    if not starts:
        return []
    used: set[str] = set()
    suffixes: dict[Path, set[str]] = {folder: set() for folder in starts}
    parts = Samples.of(samples if isinstance(samples, Samples) else list(samples)).parts
    for rows in {id(part.rows): part.rows for part in parts}.values():  # train and val may share one
        for path, name in rows.mask_files():
            used.add(path)
            for folder, start in starts.items():
                if path.startswith(start):
                    suffixes[folder].add(path[len(start) :].removeprefix(name))
    found = {
        f'{start}{path}'
        for folder, start in starts.items()
        for path in (paths_below(folder) if suffixes[folder] else ())
        if path.endswith(tuple(suffixes[folder])) and not path[path.rfind('/') + 1 :].startswith(HIDDEN)
    }
    return sorted(path for path in map(Path, found - used) if path.is_file())


def read_header(sample: Sample) -> Header:
    """Read the headers of a sample's files."""
    if sample.mask is None or sample.fault is not None:
        return Header(sample.fault)
    try:
        # A file of many images is not looked at for each of them; the columns are made from its state.
        status = status_of(sample.mask.path) if sample.mask.own_file else Status(0, 0)
        image = glance(sample.image)
        # A file of JSON can be that of many images, and has no end like an image.
        mask = glance(sample.mask.path) if isinstance(sample.mask, MaskFile) else None
        size = sample.mask.size() if mask is None else mask.size
    except FileNotFoundError:
        return Header(_missing_mask(sample.image, sample.mask.path))
    except OSError as error:
        return Header(f'The mask {sample.mask} cannot be read: {error.strerror}')
    except DataError as error:
        return Header(str(error))
    if size != image.size:
        return Header(size_mismatch(sample, image.size, size))
    return Header(
        None,
        # A compressed image of a single colour takes less than a bit per pixel.
        image.bytes < 2048 + size[0] * size[1] / 32,
        image.cut_off or (mask is not None and mask.cut_off),
        image.bytes,
        image.bytes + status.size,
        image.time + status.time,
        image.end,
    )


def _missing_mask(image: Path, mask: Path) -> str:
    """Return the message for a missing mask; it suggests a mask with another suffix if there is one."""
    names = (mask.with_name(f'{image.stem}{suffix}') for suffix in OTHER_SUFFIXES)
    other = next((path for path in names if path != image and path.is_file()), None)
    if other is None and (twin := _unicode_twin(mask)):
        return (
            f'{image} has no mask: {mask} does not exist, but {twin} does, with the same letters in another '
            'Unicode form, as macOS writes them; rename it'
        )
    if other is None:
        return f'{image} has no mask: {mask} does not exist; add the mask or remove the image'
    suffix = other.name.removeprefix(image.stem)
    return f'{image} has no mask: {mask} does not exist, but {other} does; set mask_suffix: {suffix} in its source'


def _unicode_twin(path: Path) -> Path | None:
    """Return a file with the same name in another Unicode normal form (composed or decomposed accents)."""
    names = (unicodedata.normalize(form, path.name) for form in ('NFC', 'NFD'))
    return next((path.with_name(name) for name in names if name != path.name and path.with_name(name).is_file()), None)


def _content_fault(read: Callable[[Sample], object], sample: Sample) -> str | None:
    """Return the error of a function that reads a sample, None if it succeeds."""
    try:
        read(sample)
    except DataError as error:
        return str(error)
    return None


def _found(find: Callable[[Sample], T | None], samples: Sequence[Sample], indices: Sequence[int]) -> dict[int, T]:
    """Return the results of a function for some of the samples, by index, without those that are None."""

    def find_in(chosen: Sequence[int]) -> list[tuple[int, T | None]]:
        return [(index, find(samples[index])) for index in chosen]

    # In chunks: handing over a single sample takes longer than reading its last bytes.
    chunks = [indices[first : first + 32] for first in range(0, len(indices), 32)]
    with ThreadPoolExecutor(cores()) as pool:
        return {index: found for chunk in pool.map(find_in, chunks) for index, found in chunk if found is not None}
