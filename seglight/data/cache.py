"""A cache of decoded samples in memory-mapped files, shared between workers and runs."""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from seglight.array_types import UInt8Array
from seglight.data.sending import in_shared_memory
from seglight.errors import warn
from seglight.files import write_atomically

Decoded = tuple[UInt8Array, UInt8Array | None]

_DIGEST = 16  #: bytes of a fingerprint's digest
_HEADER = _DIGEST + 12  #: the digest, then height, width and whether there is a mask, 32 bits each


class SampleCache:
    """Keeps each decoded image with its mask in one file, which is memory-mapped when read.

    Each file starts with a digest of its sources, so a changed image or mask is decoded again and its file replaced.
    Writing stops when the folder is full or cannot be created. Workers that map the same file share its memory.

    Args:
        folder: where to keep the files.
        gigabytes: maximum size of the folder.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder = folder
        self.limit = int(gigabytes * 1e9)
        held = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = sum(path.stat().st_size for path in folder.glob('*.raw'))
        except OSError as error:
            _warn(f'decoded images are not cached: cannot create {folder}: {error.strerror}')
            self.limit = 0
        # In shared memory, so that all workers share the limit.
        self.held = in_shared_memory(torch.tensor(held, dtype=torch.int64))

    def read(self, name: str, fingerprint: str, decode: Callable[[], Decoded]) -> Decoded:
        """Return image and mask from the cache; on a miss, decode and store them.

        Args:
            name: unique name of the sample.
            fingerprint: changes whenever the result of `decode` may have changed.
            decode: returns image uint8 `[H, W, 3]` and mask uint8 `[H, W]` or None.

        Returns:
            The result of `decode`; arrays from the cache are read-only.
        """
        path = self.folder / f'{hashlib.blake2b(os.fsencode(name), digest_size=20).hexdigest()}.raw'
        digest = hashlib.blake2b(os.fsencode(fingerprint), digest_size=_DIGEST).digest()
        try:
            with path.open('rb') as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # missing or empty
            mapped = None
        cached = _unpacked(mapped, digest) if mapped is not None else None
        if cached is not None:
            return cached
        decoded = decode()
        replaced = 0 if mapped is None else len(mapped)
        self._keep(path, digest, decoded, replaced)
        return decoded

    def _keep(self, path: Path, digest: bytes, decoded: Decoded, replaced: int) -> None:
        """Write a file, if it fits into the limit."""
        image, mask = decoded
        size = _HEADER + image.nbytes + (0 if mask is None else mask.nbytes)
        if int(self.held) + size - replaced > self.limit:
            return
        header = np.array([*image.shape[:2], mask is not None], dtype='<u4').tobytes()
        data = digest + header + image.tobytes() + (b'' if mask is None else mask.tobytes())
        try:
            write_atomically(path, data)
        except OSError:  # training continues on a full disk
            return
        self.held += size - replaced


_warn = functools.cache(warn)  # once, not for each data set


def _unpacked(mapped: mmap.mmap, digest: bytes) -> Decoded | None:
    """Return the arrays in a file, or None if its digest differs or it is damaged."""
    if len(mapped) < _HEADER or mapped[:_DIGEST] != digest:
        return None
    height, width, has_mask = (int(value) for value in np.frombuffer(mapped, '<u4', 3, _DIGEST))
    pixels = height * width
    if len(mapped) != _HEADER + pixels * (4 if has_mask else 3):
        return None
    image = np.frombuffer(mapped, np.uint8, 3 * pixels, _HEADER).reshape(height, width, 3)
    mask = np.frombuffer(mapped, np.uint8, pixels, _HEADER + 3 * pixels).reshape(height, width) if has_mask else None
    return image, mask
