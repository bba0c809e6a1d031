"""Let submissions or folders of masks vote on every pixel.

A pixel gets the class with the most weight; a tie goes to the tied class that the first of the inputs names.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from seglight.array_types import UInt8Array
from seglight.counting import counted
from seglight.data.masks import read_mask
from seglight.errors import DataError, UsageError
from seglight.files import made_atomically, open_atomically, write_atomically
from seglight.palette import encode_mask
from seglight.submissions import HEADER, Submission, format_labels, row


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('inputs', nargs='+', help='CSV files of one competition, or folders of masks.')
    parser.add_argument('--weights', nargs='+', type=float, help='A number above zero for each; equal by default.')
    parser.add_argument('--output', required=True, help='CSV file or folder to write; it must not exist.')


def run(arguments: Namespace) -> None:
    """Write what the inputs vote for.

    Raises:
        ConfigError: for inputs that are not alike, wrong weights, or an output that exists.
    """
    inputs, output = [Path(each) for each in arguments.inputs], Path(arguments.output)
    weights = arguments.weights or [1.0] * len(inputs)
    if len(weights) != len(inputs) or min(weights) <= 0:
        raise UsageError(f'vote: --weights must give a number above 0 for each of the {len(inputs)} inputs')
    if output.exists():
        raise UsageError(f'vote: {output} exists; name another --output or remove it')
    for path in inputs:
        if not path.exists():
            raise UsageError(f'vote: {path} does not exist')
        if path.is_dir() != inputs[0].is_dir():
            raise UsageError(f'vote: {inputs[0]} and {path} are not both CSV files or both folders')
    count = _vote_folders(inputs, weights, output) if inputs[0].is_dir() else _vote_files(inputs, weights, output)
    print(f'{counted(count, "image")} voted on in {output}')


def vote(masks: Sequence[UInt8Array], weights: Sequence[float]) -> UInt8Array:
    """Return the class of each pixel that has the most weight.

    Args:
        masks: uint8 of one shape; the order decides ties.
        weights: of each mask.

    Returns:
        uint8 of the same shape.
    """
    stack = np.stack(masks)
    support = np.zeros(stack.shape)
    for mask, weight in zip(stack, weights, strict=True):
        support += weight * (stack == mask)
    # Sums of the same weights in another order may differ in their last digits; that is a tie, too.
    first = (support >= support.max(0) * (1 - 1e-12)).argmax(0)
    chosen: UInt8Array = np.take_along_axis(stack, first[None], 0)[0]
    return chosen


def _vote_files(inputs: list[Path], weights: Sequence[float], output: Path) -> int:
    """Vote on the rows of submissions that have the same `image_id`, in the order of the first."""
    files = [Submission(path) for path in inputs]
    for file in files:
        if different := set(file.names) ^ set(files[0].names):
            raise DataError(f"'{min(different)}' is not both in {files[0].path} and in {file.path}")
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
            raise DataError(f'{min(different)} is not both in {inputs[0]} and in {folder}')
    if not found[0]:
        raise DataError(f'{inputs[0]} holds no masks (.png)')
    with made_atomically(output) as folder:
        for name in sorted(found[0]):
            masks = [read_mask(each / name).astype(np.uint8) for each in inputs]
            _check_alike(inputs, masks, str(name))
            with Image.open(inputs[0] / name, formats=['PNG']) as image:
                channels = image.getpalette() or []
            palette = [list(channels[index : index + 3]) for index in range(0, len(channels), 3)]
            write_atomically(folder / name, encode_mask(vote(masks, weights), palette))
    return len(found[0])


def _check_alike(inputs: list[Path], masks: Sequence[UInt8Array], name: str) -> None:
    for path, mask in zip(inputs, masks, strict=True):
        if mask.shape != masks[0].shape:
            raise DataError(f"'{name}' has another size in {path} than in {inputs[0]}")
