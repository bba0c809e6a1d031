"""Decoded samples in memory-mapped files, shared by workers and runs."""

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
from seglight.errors import warn
from seglight.files import write_atomically

Decoded = tuple[UInt8Array, UInt8Array | None]

_DIGEST = 16  #: bytes of a fingerprint's digest
_HEADER = _DIGEST + 12  #: then height, width and whether there is a mask, each as 32 bits


class SampleCache:
    """Keeps decoded images with their masks in a folder, one file each, which is mapped into memory when it is read.

    A file holds the digest of what it was decoded from, so that a changed image or mask is decoded anew and
    its file replaced. Nothing more is written when the folder holds as much as it may, or cannot be made. Pages
    that several workers map are in memory once.

    Args:
        folder: of the files.
        gigabytes: how much the folder may hold.
    """

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder = folder
        self.limit = int(gigabytes * 1e9)
        held = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = sum(path.stat().st_size for path in folder.glob('*.raw'))
        except OSError as error:
            _warn(f'there is no cache of decoded images: {folder} cannot be made: {error.strerror}')
            self.limit = 0
        # In shared memory, so that workers share the bound.
        self.held = torch.tensor(held, dtype=torch.int64).share_memory_()

    def read(self, name: str, fingerprint: str, decode: Callable[[], Decoded]) -> Decoded:
        """Return image and mask from the cache, or else decode and keep them.

        Args:
            name: tells the sample from others.
            fingerprint: changes whenever what `decode` returns may have changed.
            decode: returns image uint8 `[H, W, 3]` and mask uint8 `[H, W]` or None.

        Returns:
            arrays like those of `decode`; they are read-only if they come from the cache.
        """
        path = self.folder / f'{hashlib.blake2b(os.fsencode(name), digest_size=20).hexdigest()}.raw'
        digest = hashlib.blake2b(os.fsencode(fingerprint), digest_size=_DIGEST).digest()
        try:
            with path.open('rb') as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # not there, or empty
            mapped = None
        kept = _unpacked(mapped, digest) if mapped is not None else None
        if kept is not None:
            return kept
        decoded = decode()
        replaced = 0 if mapped is None else len(mapped)
        self._keep(path, digest, decoded, replaced)
        return decoded

    def _keep(self, path: Path, digest: bytes, decoded: Decoded, replaced: int) -> None:
        """Write a file, if there is room for it."""
        image, mask = decoded
        size = _HEADER + image.nbytes + (0 if mask is None else mask.nbytes)
        if int(self.held) + size - replaced > self.limit:
            return
        header = np.array([*image.shape[:2], mask is not None], dtype='<u4').tobytes()
        data = digest + header + image.tobytes() + (b'' if mask is None else mask.tobytes())
        try:
            write_atomically(path, data)
        except OSError:  # a full disk is no reason to stop
            return
        self.held += size - replaced


_warn = functools.cache(warn)  # once for all data sets


def _unpacked(mapped: mmap.mmap, digest: bytes) -> Decoded | None:
    """Return the arrays of a file, None if it was decoded from something else or is damaged."""
    if len(mapped) < _HEADER or mapped[:_DIGEST] != digest:
        return None
    height, width, has_mask = (int(value) for value in np.frombuffer(mapped, '<u4', 3, _DIGEST))
    pixels = height * width
    if len(mapped) != _HEADER + pixels * (4 if has_mask else 3):
        return None
    image = np.frombuffer(mapped, np.uint8, 3 * pixels, _HEADER).reshape(height, width, 3)
    mask = np.frombuffer(mapped, np.uint8, pixels, _HEADER + 3 * pixels).reshape(height, width) if has_mask else None
    return image, mask
