"""Find near-duplicate images by perceptual hashes, in time proportional to their number.

An image's hash has 64 bits: whether each of the 8 x 8 lowest frequencies of its thumbnail is above their median (pHash;
Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Hashes that differ in few bits are
found by multi-index hashing (Norouzi, Punjani and Fleet, 2012), and confirmed by the correlation of the thumbnails.
Copies that were encoded again, scaled, brightened or slightly changed are found; mirrored, rotated or cropped ones
are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seglight.array_types import Ints, UInt8Array
from seglight.cores import cores
from seglight.data.images import read_image
from seglight.data.value_range import ValueRange
from seglight.errors import DataError

#: Height and width of a thumbnail, and the number of frequencies of a hash in each direction.
SIDE, FREQUENCIES = 32, 8

#: Bits in which the hashes of near-duplicates may differ: with four parts of the hash, one of them differs in at most
#: one bit, so that 17 lookups in the index of each part find all.
MAX_BITS = 7

#: Minimum correlation of the thumbnails of near-duplicates.
MIN_CORRELATION = 0.95

#: Minimum standard deviation of a thumbnail; below it, an image is plain and has no near-duplicates.
MIN_CONTRAST = 2.0

#: Maximum of neighbours on either side to compare in an index, so that many images with equal hashes take linear time;
#: groups still become whole by way of the neighbours.
NEIGHBOURS = 32

#: Number of pairs whose thumbnails are compared at once.
CHUNK = 1 << 13

Hashes = npt.NDArray[np.uint64]


class Prints(NamedTuple):
    """The fingerprints of N images.

    Attributes:
        hashes: uint64 `[N]`.
        thumbnails: grey, uint8 `[N, SIDE, SIDE]`.
    """

    hashes: Hashes
    thumbnails: UInt8Array


def fingerprints(paths: Sequence[Path], value_range: ValueRange | None = None) -> Prints:
    """Return the fingerprints of images; one that cannot be read counts as plain.

    Args:
        paths: the image files.
        value_range: the values of black and white in images of more than 8 bits.
    """

    def read(path: Path) -> UInt8Array:
        try:
            return thumbnail(read_image(path, value_range))
        except DataError:  # the check of all files reports it
            return np.zeros((SIDE, SIDE), dtype=np.uint8)

    with ThreadPoolExecutor(cores()) as pool:
        thumbnails = np.array(list(pool.map(read, paths)), dtype=np.uint8).reshape(-1, SIDE, SIDE)
    return Prints(np.array([perceptual_hash(each) for each in thumbnails], dtype=np.uint64), thumbnails)


def thumbnail(image: UInt8Array) -> UInt8Array:
    """Return the thumbnail of an image: grey uint8 `[SIDE, SIDE]`, all 0 if the image is plain.

    Its histogram is not equalised, which would amplify the noise of a plain background. Neither hashes nor correlations
    depend on brightness and contrast.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
    """
    small = cv2.cvtColor(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    plain = small.std() < MIN_CONTRAST
    return np.zeros_like(small) if plain else np.asarray(small, dtype=np.uint8)


def perceptual_hash(thumbnail: UInt8Array) -> int:
    """Return the hash of a thumbnail, 64 bits.

    Like pHash, it leaves out the frequencies that are 0 in either direction.
    """
    low = cv2.dct(thumbnail.astype(np.float32))[1 : FREQUENCIES + 1, 1 : FREQUENCIES + 1]
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), 'big')


def similar_groups(prints: Prints) -> Ints:
    """Return the group of each image, int64 `[N]`, equal for near-duplicates and for near-duplicates of these."""
    groups = np.arange(len(prints.hashes))
    for pairs in _candidates(prints.hashes):
        apart = pairs[groups[pairs[:, 0]] != groups[pairs[:, 1]]]
        near = apart[_bits(prints.hashes[apart[:, 0]] ^ prints.hashes[apart[:, 1]]) <= MAX_BITS]
        parts = [near[at : at + CHUNK] for at in range(0, len(near), CHUNK)]
        for part in parts:
            confirmed = part[_are_alike(*(prints.thumbnails[side] for side in part.T))]
            groups = connected(groups, confirmed) if len(confirmed) else groups
    return groups


def _candidates(hashes: Hashes) -> Iterator[Ints]:
    """Yield pairs of hashes that are equal in one of four parts but for at most one bit, at most N pairs at once.

    Of hashes that share a part with many others, only the `NEIGHBOURS` next to it in the index are in pairs.
    """
    for turn in range(0, 64, 16):
        turned = (hashes << np.uint64(turn)) | (hashes >> np.uint64((64 - turn) % 64))  # the part is in front
        order = np.argsort(turned, kind='stable')
        index = turned[order]
        starts = np.searchsorted(index, np.arange(1 << 16, dtype=np.uint64) << np.uint64(48))
        starts = np.append(starts, len(index))
        for flipped in (0, *(1 << bit for bit in range(48, 64))):
            rows = np.flatnonzero(index & np.uint64(flipped) == 0)  # the others are found from their partners
            wanted = index[rows] ^ np.uint64(flipped)
            part = (wanted >> np.uint64(48)).astype(np.int64)
            at = np.searchsorted(index, wanted) - NEIGHBOURS // 2 if flipped else rows + 1
            at = np.maximum(starts[part], at)
            last = np.minimum(starts[part + 1], at + NEIGHBOURS)
            while (left := at < last).any():
                rows, at, last = rows[left], at[left], last[left]
                yield np.column_stack([order[rows], order[at]])
                at = at + 1


def _bits(values: Hashes) -> Ints:
    """Return the number of bits that are set in each value."""
    counts: Ints = _BITS[values.view(np.uint16).reshape(-1, 4)].sum(1, dtype=np.int64)
    return counts


_BITS = np.unpackbits(np.arange(1 << 16, dtype=np.uint16).view(np.uint8).reshape(-1, 2), axis=1).sum(1, dtype=np.uint8)


def _are_alike(first: UInt8Array, second: UInt8Array) -> npt.NDArray[np.bool_]:
    """Return which pairs of thumbnails `[P, SIDE, SIDE]` have contrast and correlate, bool `[P]`."""
    centred = [side.reshape(-1, SIDE * SIDE).astype(np.float32) for side in (first, second)]
    centred = [values - values.mean(1, keepdims=True) for values in centred]
    norms = [np.sqrt((values**2).sum(1)) for values in centred]
    alike = (centred[0] * centred[1]).sum(1) >= MIN_CORRELATION * norms[0] * norms[1]
    return np.asarray(alike & (np.minimum(*norms) > 0))


def connected(groups: Ints, pairs: Ints) -> Ints:
    """Return the groups after those of each pair were joined.

    Args:
        groups: the group of each of N images, int64 `[N]`, below N.
        pairs: int64 `[P, 2]`.
    """
    count = len(groups)
    first, second = groups[pairs.T]
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][groups], dtype=np.int64)
