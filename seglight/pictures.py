"""Encode images in memory, and arrange several in one."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from seglight.array_types import UInt8Array


def encode_jpeg(image: UInt8Array, quality: int = 95) -> bytes:
    """Return a JPEG file.

    Args:
        image: uint8 `[H, W, 3]`, RGB.
        quality: 0 to 100.
    """
    _, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def contact_sheet(tiles: Sequence[UInt8Array], columns: int) -> UInt8Array:
    """Arrange images of the same size in rows of `columns`; the last row is filled with white."""
    rows = [list(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    rows[-1] += [np.full_like(tiles[0], 255)] * (columns - len(rows[-1]))
    return np.vstack([np.hstack(row) for row in rows])
