"""Limits for painting the objects of an image, and checks of them.

All painting takes time in proportion to these limits; with far more, a file could keep a process busy for days.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from seglight.errors import DataError

#: Maximum distance of a point from the origin, in longer sides of its image.
MAX_DISTANCE = 100

#: Maximum total length of all outlines of an image, in pixels.
MAX_OUTLINES = 1 << 24

#: Maximum number of the objects of an image, times its pixels: 5,000 objects in 27 million pixels.
MAX_PAINTED = 1 << 37

#: Limits of OpenCV for images.
MAX_PIXELS, MAX_SIDE = 1 << 30, 1 << 20


def check_painting(count: int, height: int, width: int, outline: float) -> None:
    """Check that the objects of an image can be painted in a bounded time.

    Args:
        count: the number of objects.
        height: of the image.
        width: of the image.
        outline: the total length of the outlines, in pixels.

    Raises:
        DataError: if not; the message is the end of a sentence.
    """
    if count * height * width > MAX_PAINTED:
        raise DataError(f'has {count} objects in {width}x{height} pixels, too many to paint; cut it into tiles')
    if outline > MAX_OUTLINES:
        raise DataError(
            f'has outlines of {outline:.0f} pixels in all, more than the maximum of {MAX_OUTLINES}; correct them'
        )


def outline_length(points: npt.NDArray[Any]) -> float:
    """Return the length of a closed outline in pixels, the larger of both directions for each edge.

    Args:
        points: `[N, 2]`, in pixels.
    """
    return float(np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()) if len(points) else 0.0
