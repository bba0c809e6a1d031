"""What is wrong with the files of a data set, found before the first step."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from seglight.data.dataset import SegmentationDataset, size_mismatch
from seglight.data.images import image_size
from seglight.data.sources.base import Sample
from seglight.environment import cores
from seglight.errors import DataError

CHECKED_MASKS = 1000  #: masks of a split that are decoded before training


def quick_faults(dataset: SegmentationDataset) -> dict[int, str]:
    """Compare the sizes in the headers of all images and masks, and the labels of some masks with the classes.

    At most `CHECKED_MASKS` masks, spread over the data set, are decoded, so that a fault that they
    all share shows before the first step; the others are checked when they are loaded.

    Returns:
        what is wrong with a sample, by its index.
    """
    faults = _faults(header_fault, dataset.samples)
    step = -(-len(dataset) // CHECKED_MASKS) or 1
    chosen = [index for index in range(0, len(dataset), step) if index not in faults]
    labels = _faults(lambda sample: _label_fault(dataset, sample), [dataset.samples[index] for index in chosen])
    return dict(sorted((faults | {chosen[index]: fault for index, fault in labels.items()}).items()))


def header_fault(sample: Sample) -> str | None:
    """Return what is wrong with a sample as far as the headers of its files tell, None if nothing is."""
    if sample.mask is None:
        return None
    if not sample.mask.path.is_file():
        return f'{sample.image} has no mask: {sample.mask} does not exist; add the mask or remove the image'
    try:
        image, mask = image_size(sample.image), sample.mask.size()
    except DataError as error:
        return str(error)
    return size_mismatch(sample, image, mask) if image != mask else None


def _label_fault(dataset: SegmentationDataset, sample: Sample) -> str | None:
    """Return what is wrong with the labels of a sample."""
    try:
        if sample.mask is not None:
            dataset.read_labels(sample)
    except DataError as error:
        return str(error)
    return None


def _faults(find: Callable[[Sample], str | None], samples: Sequence[Sample]) -> dict[int, str]:
    """Return the faults that a function finds, by the index of the sample."""
    with ThreadPoolExecutor(cores()) as pool:
        return {index: fault for index, fault in enumerate(pool.map(find, samples)) if fault}


def shared_images(samples: Mapping[str, Sequence[Sample]]) -> list[str]:
    """Return a line for each image that is, byte for byte, in train and in val."""
    if not {'train', 'val'} <= samples.keys():
        return []
    pairs = shared_content(*([sample.image for sample in samples[name]] for name in ('train', 'val')))
    return [
        f'{first} is in train and in val' if first == second else f'{first} in train and {second} in val are the same'
        for first, second in pairs
    ]


def shared_content(first: Iterable[Path], second: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return the pairs of a file of the first and one of the second that hold the same bytes.

    Only files of equal size are read.
    """
    firsts, seconds = _by_size(first), _by_size(second)
    pairs = []
    for size in firsts.keys() & seconds.keys():
        by_hash: dict[bytes, list[Path]] = defaultdict(list)
        for path in firsts[size]:
            by_hash[_digest(path)].append(path)
        pairs += [(twin, path) for path in seconds[size] for twin in by_hash.get(_digest(path), [])]
    return sorted(pairs)


def _by_size(paths: Iterable[Path]) -> dict[int, list[Path]]:
    sizes: dict[int, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        if path.is_file():
            sizes[path.stat().st_size].append(path)
    return sizes


def _digest(path: Path) -> bytes:
    return hashlib.blake2b(path.read_bytes()).digest()
