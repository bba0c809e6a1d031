"""Combine submissions or folders of masks by majority vote for each pixel.

Each pixel gets the class with the largest total weight; among tied classes, the one of the earliest input wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seglight.array_types import UInt8Array
from seglight.data.masks import read_mask
from seglight.errors import DataError, UsageError
from seglight.files import made_atomically, open_atomically, write_atomically
from seglight.palette import encode_mask
from seglight.submissions import HEADER, Submission, format_labels, row
from seglight.voting import vote_weights


def take_vote(inputs: Sequence[str | Path], output: str | Path, weights: Sequence[float] | None = None) -> int:
    """Write the vote of submissions or folders of masks, and return the number of images.

    Args:
        inputs: CSV files of one competition, or folders of masks.
        output: the CSV file or folder to write; it must not exist.
        weights: a positive number for each input; equal by default.

    Raises:
        UsageError: for no inputs, inputs of different kinds, wrong weights, or an output that exists.
    """
    paths, output = [Path(each) for each in inputs], Path(output)
    if not paths:
        raise UsageError('vote: give one or more inputs, CSV files or folders of masks')
    valid = vote_weights(weights, len(paths))
    if valid is None:
        raise UsageError(f'vote: --weights must be a positive number for each of the {len(paths)} inputs')
    if output.exists():
        raise UsageError(f'vote: {output} exists; choose another --output or remove it')
    for path in paths:
        if not path.exists():
            raise UsageError(f'vote: {path} does not exist')
        if path.is_dir() != paths[0].is_dir():
            raise UsageError(f'vote: {paths[0]} and {path} must both be CSV files or both be folders')
    return _vote_folders(paths, valid, output) if paths[0].is_dir() else _vote_files(paths, valid, output)


def vote(masks: Sequence[UInt8Array], weights: Sequence[float]) -> UInt8Array:
    """Return the class with the largest total weight for each pixel.

    Args:
        masks: uint8, all of the same shape; the order decides ties.
        weights: one for each mask.

    Returns:
        uint8 of the same shape.
    """
    stack = np.stack(masks)
    support = np.zeros(stack.shape)
    for mask, weight in zip(stack, weights, strict=True):
        support += weight * (stack == mask)
    # Sums of the same weights in a different order can differ in their last digits; these are ties, too.
    first = (support >= support.max(0) * (1 - 1e-12)).argmax(0)
    chosen: UInt8Array = np.take_along_axis(stack, first[None], 0)[0]
    return chosen


def _vote_files(inputs: list[Path], weights: Sequence[float], output: Path) -> int:
    """Vote on the rows of submissions that have the same `image_id`, in the order of the first."""
    files = [Submission(path) for path in inputs]
    for file in files:
        if different := set(file.names) ^ set(files[0].names):
            raise DataError(f"'{min(different)}' must be in both {files[0].path} and {file.path}")
    with open_atomically(output) as target:
        target.write(HEADER)
        for name in files[0].names:
            masks = [file.labels(name) for file in files]
            _check_alike(inputs, masks, name)
            target.write(row(name, format_labels(vote(masks, weights))))
    return len(files[0].names)


def _vote_folders(inputs: list[Path], weights: Sequence[float], output: Path) -> int:
    """Vote on folders of masks, with the palette of the first."""
    found = [{path.relative_to(folder) for path in folder.rglob('*.png')} for folder in inputs]
    for folder, names in zip(inputs, found, strict=True):
        if different := names ^ found[0]:
            raise DataError(f'{min(different)} must be in both {inputs[0]} and {folder}')
    if not found[0]:
        raise DataError(f'{inputs[0]} holds no masks (.png)')
    with made_atomically(output) as folder:
        for name in sorted(found[0]):
            masks = [_read_mask(each / name) for each in inputs]
            _check_alike(inputs, masks, str(name))
            with Image.open(inputs[0] / name, formats=['PNG']) as image:
                channels = image.getpalette() or []
            palette = [list(channels[index : index + 3]) for index in range(0, len(channels), 3)]
            write_atomically(folder / name, encode_mask(vote(masks, weights), palette))
    return len(found[0])


def _read_mask(path: Path) -> UInt8Array:
    """Read a mask, uint8 `[H, W]`."""
    mask = read_mask(path)
    if mask.size and mask.max() > 255:
        raise DataError(f'{path} has the label {mask.max()}; labels must be 0 to 255')
    return mask.astype(np.uint8)


def _check_alike(inputs: list[Path], masks: Sequence[UInt8Array], name: str) -> None:
    for path, mask in zip(inputs, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise DataError(f"'{name}' has different sizes in {inputs[0]} and {path}")
