"""The segmentations of COCO's annotations, polygons and run lengths, as run lengths of pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from seglight.errors import DataError, one_line

#: A point of a polygon lies no farther than so many times the longer side of its image.
FARTHEST = 100

#: Pixels that the edges of an object's polygons may be long together: pycocotools takes 100 bytes for each.
LONGEST_OUTLINE = 1 << 22

#: OpenCV reads no image with more pixels or a longer side.
MOST_PIXELS, LONGEST_SIDE = 1 << 30, 1 << 20

#: Characters of five bits each that a run length of `MOST_PIXELS`, or a difference of two, takes at most.
MOST_CHARACTERS = 7


def has_outline(segmentation: object) -> bool:
    """Tell whether an object has an outline; tools that draw boxes leave it out, empty, or as an empty polygon."""
    return segmentation not in (None, [], [[]])


def encode(given: Any, height: int, width: int) -> tuple[Any, float]:
    """Return an object's polygons, or its run lengths of either kind, as compressed run lengths, and a length.

    Args:
        given: a polygon, x and y in turns; a list of polygons; or run lengths as `{size, counts}`.
        height: of the image.
        width: of the image.

    Returns:
        what pycocotools decodes, and how many pixels the edges of polygons are long together.

    Raises:
        DataError: says what is wrong, without the place.
    """
    try:
        return (_run_lengths(given, height, width), 0) if isinstance(given, dict) else _polygons(given, height, width)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataError(f'cannot be decoded: {one_line(error) or type(error).__name__}') from error


def _run_lengths(given: Mapping[str, Any], height: int, width: int) -> Any:
    """Return run lengths, whole numbers or COCO's string of them, as compressed ones."""
    counts = given.get('counts')
    lengths = _decoded(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(length) is int for length in lengths):
        raise DataError("has 'counts' that are neither a string nor a list of integers; correct or remove it")
    sound = all(0 <= length <= MOST_PIXELS for length in lengths)
    if not sound or list(given['size']) != [height, width] or sum(lengths) != height * width:
        # pycocotools would return what happens to be in memory for pixels that no run covers.
        covered = f'runs of {sum(lengths)} pixels in all' if sound else 'a run that is negative or too long'
        message = f'has the size {one_line(repr(given["size"]))[:60]} and {covered}'
        raise DataError(f'{message}, but its image has the size [{height}, {width}]')
    return mask_utils.frPyObjects({'size': [height, width], 'counts': lengths}, height, width)


def _decoded(text: str) -> list[int]:
    """Return the run lengths that a string of COCO holds, as `rleFrString` in pycocotools' `maskApi.c` reads it.

    Characters from `0` on hold five bits each, the lowest first; a sixth says that more follow. From the
    fourth run on it is the difference to the run before the last.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode('ascii'):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 5 * MOST_CHARACTERS:
            raise DataError('has counts that are damaged: a number in them does not end; correct or remove it')
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def _polygons(given: Any, height: int, width: int) -> tuple[Any, float]:
    """Return polygons as compressed run lengths, and the length of their edges.

    pycocotools paints nothing for what is no number, and its memory is in proportion to the length of the edges,
    without which it would end the process.
    """
    if not isinstance(given, list) or not given:
        raise DataError('must be a polygon of at least three points; correct or remove it')
    flat = not isinstance(given[0], list)  # as the VGG Image Annotator writes a single polygon
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in ([given] if flat else given)]
    length = 0.0
    for points in polygons:
        if points.ndim != 1 or points.size < 6 or points.size % 2:
            raise DataError('must be a polygon of at least three points; correct or remove it')
        if not (np.abs(points) <= FARTHEST * max(height, width)).all():
            raise DataError('has a point that is not a number or is far outside the image; correct or remove it')
        corners = points.reshape(-1, 2)
        length += float(np.abs(corners - np.roll(corners, 1, axis=0)).max(1).sum())
    if length > LONGEST_OUTLINE:
        raise DataError(
            f'has an outline of {length:.0f} pixels, more than {LONGEST_OUTLINE} in all; correct or remove it'
        )
    return mask_utils.merge(mask_utils.frPyObjects([points.tolist() for points in polygons], height, width)), length
