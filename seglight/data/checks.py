"""What is wrong with the files of a data set, found before the first step."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from seglight.data.dataset import SegmentationDataset, size_mismatch
from seglight.data.images import image_size, may_be_cut_off
from seglight.data.sources.base import Sample
from seglight.environment import cores
from seglight.errors import DataError

CHECKED = 1000  #: masks of a split that are decoded before training, and files that seem to be cut off


def quick_faults(dataset: SegmentationDataset) -> dict[int, str]:
    """Compare the sizes in the headers of all images and masks, and the labels of some masks with the classes.

    Files that seem to be cut off, by their last bytes, and masks, spread over the data set, are decoded, at most
    `CHECKED` of each, so that a fault that they all share shows before the first step; the others are checked when
    they are loaded.

    Returns:
        what is wrong with a sample, by its index.
    """
    faults = _faults(header_fault, dataset.samples, range(len(dataset)))
    # Images to predict, which have no masks, end no run.
    sound = [index for index, sample in enumerate(dataset.samples) if index not in faults and sample.mask is not None]
    suspects = list(_faults(_suspicion, dataset.samples, sound))
    for chosen, read in ((suspects, dataset.decode), (sound, dataset.read_labels)):
        step = -(-len(chosen) // CHECKED) or 1
        faults |= _faults(partial(_content_fault, read), dataset.samples, chosen[::step])
    return dict(sorted(faults.items()))


def masks_without_image(folders: Iterable[Path], samples: Sequence[Sample]) -> list[Path]:
    """Return the masks in the given folders that none of the samples has, sorted.

    What is a mask there is told by the end of the file names of those that samples have.
    """
    used = {sample.mask.path: sample.name for sample in samples if sample.mask is not None}
    found = set()
    for folder in set(folders):
        below = {path.relative_to(folder).as_posix(): name for path, name in used.items() if folder in path.parents}
        suffixes = tuple({path.removeprefix(name) for path, name in below.items()})
        found |= {path for path in folder.rglob('*') if path.name.endswith(suffixes) and not path.name.startswith('.')}
    return sorted(path for path in found - used.keys() if path.is_file())


def header_fault(sample: Sample) -> str | None:
    """Return what is wrong with a sample as far as the headers of its files tell, None if nothing is."""
    if sample.mask is None or sample.fault is not None:
        return sample.fault
    try:
        sample.mask.path.stat()
        image, mask = image_size(sample.image), sample.mask.size()
    except FileNotFoundError:
        return f'{sample.image} has no mask: {sample.mask} does not exist; add the mask or remove the image'
    except OSError as error:
        return f'The mask {sample.mask} cannot be read: {error.strerror}'
    except DataError as error:
        return str(error)
    return size_mismatch(sample, image, mask) if image != mask else None


def _suspicion(sample: Sample) -> str | None:
    """Return the file of a sample that may be cut off."""
    paths = [sample.image] if sample.mask is None else [sample.image, sample.mask.path]
    return next((str(path) for path in paths if may_be_cut_off(path)), None)


def _content_fault(read: Callable[[Sample], object], sample: Sample) -> str | None:
    """Return what is wrong with a sample as far as a function that reads it tells."""
    try:
        read(sample)
    except DataError as error:
        return str(error)
    return None


def _faults(find: Callable[[Sample], str | None], samples: Sequence[Sample], indices: Sequence[int]) -> dict[int, str]:
    """Return the faults that a function finds in some of the samples, by the index of the sample."""

    def find_in(chosen: Sequence[int]) -> list[tuple[int, str | None]]:
        return [(index, find(samples[index])) for index in chosen]

    # A thread takes some at once: handing over a single one takes longer than reading its last bytes.
    parts = [indices[first : first + 32] for first in range(0, len(indices), 32)]
    with ThreadPoolExecutor(cores()) as pool:
        return {index: fault for part in pool.map(find_in, parts) for index, fault in part if fault}


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
