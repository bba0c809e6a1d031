"""Run lengths of masks as most Kaggle competitions define them: column by column, counted from 1."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from seglight.errors import DataError

Mask = npt.NDArray[np.bool_]


def encode_runs(mask: Mask) -> str:
    """Return the runs of a mask as `start length start length ...`; empty for an empty mask.

    Pixels are numbered from 1, from top to bottom, then from left to right.

    Args:
        mask: bool `[H, W]`.
    """
    column_major = np.concatenate([[False], mask.ravel(order='F'), [False]])
    edges = np.flatnonzero(column_major[1:] != column_major[:-1])
    starts, ends = edges[::2], edges[1::2]
    return ' '.join(map(str, np.column_stack([starts + 1, ends - starts]).ravel().tolist()))


def decode_runs(text: str, size: tuple[int, int]) -> Mask:
    """Return the mask of `encode_runs`, bool `[H, W]`.

    Args:
        text: the runs.
        size: height and width of the mask.

    Raises:
        DataError: if they are not pairs of numbers, overlap, or lead out of the mask.
    """
    words = text.split()
    if len(words) % 2 or not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
        raise DataError(f'run lengths must be pairs of a start and a length, got {text!r:.60}')
    starts, lengths = np.array(words, dtype=np.int64).reshape(-1, 2).T
    ends = starts + lengths
    pixels = size[0] * size[1]
    outside = (starts < 1) | (lengths < 1) | (ends > pixels + 1)
    if outside.any() or (starts[1:] < ends[:-1]).any():
        raise DataError(f'run lengths must be in order and within the {pixels} pixels of the mask, got {text!r:.60}')
    flat = np.zeros(pixels, dtype=bool)
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        flat[start - 1 : end - 1] = True
    return flat.reshape(size, order='F')
