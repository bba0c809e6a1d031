"""The segmentations of COCO's annotations as run lengths of pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from seglight.data.sources.painting import MAX_DISTANCE, MAX_PIXELS, outline_length
from seglight.errors import DataError, one_line

#: Maximum length of one outline in pixels, a fourth of `MAX_OUTLINES`; pycocotools needs 100 bytes for each.
MAX_OUTLINE = 1 << 22

#: Maximum number of characters, of five bits each, for a run length up to `MAX_PIXELS` or a difference of two.
MAX_CHARACTERS = 7


#: What tools write as the `segmentation` of a box.
NO_OUTLINE: tuple[object, ...] = (None, [], [[]])


def has_outline(segmentation: object) -> bool:
    """Return whether an object has an outline."""
    return segmentation not in NO_OUTLINE


def encode(given: Any, height: int, width: int) -> tuple[Any, float]:
    """Convert polygons or run lengths to compressed run lengths.

    Args:
        given: a polygon as alternating x and y; a list of polygons; or run lengths as `{size, counts}`.
        height: of the image.
        width: of the image.

    Returns:
        Run lengths for pycocotools, and the total length of the outline in pixels (0 for run lengths).

    Raises:
        DataError: if they are invalid; the message is the end of a sentence.
    """
    try:
        return (_run_lengths(given, height, width), 0) if isinstance(given, dict) else _polygons(given, height, width)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise DataError(f'cannot be decoded: {one_line(error) or type(error).__name__}') from error


def _run_lengths(given: Mapping[str, Any], height: int, width: int) -> Any:
    """Convert run lengths, a list or COCO's string, to compressed ones."""
    counts = given.get('counts')
    lengths = _decoded(counts) if isinstance(counts, str) else counts
    if not isinstance(lengths, list) or not all(type(length) is int for length in lengths):
        raise DataError("has 'counts' that are neither a string nor a list of integers; correct or remove it")
    is_valid = all(0 <= length <= MAX_PIXELS for length in lengths)
    if not is_valid or list(given['size']) != [height, width] or sum(lengths) != height * width:
        # pycocotools would return uninitialised memory for pixels that no run covers.
        covered = f'runs of {sum(lengths)} pixels in all' if is_valid else 'a run that is negative or too long'
        message = f'has the size {one_line(repr(given["size"]))[:60]} and {covered}'
        raise DataError(f'{message}, but its image has the size [{height}, {width}]')
    return mask_utils.frPyObjects({'size': [height, width], 'counts': lengths}, height, width)


def _decoded(text: str) -> list[int]:
    """Decode COCO's string of run lengths, like `rleFrString` in pycocotools' `maskApi.c`.

    Each character, minus `0`, holds five bits, lowest first; the sixth bit means that more follow. From the fourth run
    on, the number is the difference to the run before the previous one.
    """
    lengths: list[int] = []
    value = shift = 0
    for character in text.encode('ascii'):
        bits = character - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if shift > 5 * MAX_CHARACTERS:
            raise DataError("has damaged 'counts' with an unterminated number; correct or remove it")
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def _polygons(given: Any, height: int, width: int) -> tuple[Any, float]:
    """Convert polygons to compressed run lengths; return them with the length of the outline.

    pycocotools ignores NaN, and crashes if the outline is too long for its memory, so both are checked first.
    """
    if not isinstance(given, list) or not given:
        raise DataError('must be a polygon of at least three points; correct or remove it')
    is_single = not isinstance(given[0], list)  # as written by the VGG Image Annotator
    polygons = [np.asarray(polygon, dtype=np.float64) for polygon in ([given] if is_single else given)]
    length = 0.0
    for points in polygons:
        if points.ndim != 1 or points.size < 6 or points.size % 2:
            raise DataError('must be a polygon of at least three points; correct or remove it')
        if not (np.abs(points) <= MAX_DISTANCE * max(height, width)).all():
            raise DataError('has a point that is not a number or is far outside the image; correct or remove it')
        length += outline_length(points.reshape(-1, 2))
    if length > MAX_OUTLINE:
        raise DataError(f'has an outline of {length:.0f} pixels, more than {MAX_OUTLINE}; correct or remove it')
    return mask_utils.merge(mask_utils.frPyObjects([points.tolist() for points in polygons], height, width)), length
