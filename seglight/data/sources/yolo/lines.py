"""The polygons in a YOLO text file, drawn like Ultralytics does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import Float32Array, UInt8Array
from seglight.data.images import image_size
from seglight.data.sources.base import Annotation
from seglight.data.sources.painting import check_painting, outline_length
from seglight.data.sources.paths import read_bounded
from seglight.errors import DataError, one_line

#: How far outside the image a point may be, relative to its side, as in Ultralytics.
TOLERANCE = 0.01

MAX_BYTES = 64 << 20  #: maximum size of a file


class Polygons(Annotation):
    """The polygons of one image.

    Args:
        path: the text file, or the image if there is none.
        image: the image file, which has the size.
        polygons: label and points of each polygon, float32 `[N, 2]` from 0 to 1.
        background: label of pixels without a polygon.
    """

    def __init__(self, path: Path, image: Path, polygons: Sequence[tuple[int, Float32Array]], background: int) -> None:
        self._path = path
        self._image = image
        self._polygons = polygons
        self._background = background

    @property
    def path(self) -> Path:
        """The text file."""
        return self._path

    def size(self) -> tuple[int, int]:
        """Return height and width of the image."""
        return image_size(self._image)

    def fingerprint(self) -> str:
        """Return a text that changes with the text file and the labels of its polygons."""
        return f'{super().fingerprint()} {self._background} {self._labels()}'

    def _labels(self) -> list[int]:
        """Return the label of each polygon."""
        return [label for label, _ in self._polygons]

    def _read(self) -> Sequence[tuple[int, Float32Array]]:
        """Return label and points of each polygon."""
        return self._polygons

    def read(self) -> UInt8Array:
        """Paint the polygons, uint8 `[H, W]`."""
        height, width = self.size()
        scale = np.array([width, height], dtype=np.float32)
        polygons = self._read()
        corners = [(points * scale).astype(np.int32) for _, points in polygons]
        try:
            check_painting(len(corners), height, width, sum(map(outline_length, corners)))
        except DataError as error:
            raise DataError(f'{self._path} {error}') from error
        areas = [_filled(np.zeros((height, width), np.uint8), each, 1).sum(dtype=np.int64) for each in corners]
        mask = np.full((height, width), self._background, dtype=np.uint8)
        for index in np.argsort(-np.array(areas, dtype=np.int64), kind='stable'):
            _filled(mask, corners[index], polygons[index][0])
        return mask


def _filled(mask: UInt8Array, corners: npt.NDArray[np.int32], label: int) -> UInt8Array:
    """Fill a polygon in a mask with a label, in place; return the mask."""
    cv2.fillPoly(mask, [corners], [label])
    return mask


class Line(NamedTuple):
    """The number of a class, and the points of a polygon, float32 `[N, 2]`, or None for a box."""

    number: int
    points: Float32Array | None


def read_yolo(path: Path, names: dict[int, str]) -> list[Line]:
    """Read a YOLO text file.

    Args:
        path: the file.
        names: of the classes, by their numbers.

    Raises:
        DataError: names the line that is wrong.
    """
    data = read_bounded(path, 'The labels', MAX_BYTES)
    try:
        text = data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise DataError(f'The labels {path} cannot be read: they are not UTF-8 text') from error
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [_parsed(f'{path}:{number}', words, names) for number, words in lines]


def _parsed(where: str, words: Sequence[str], names: dict[int, str]) -> Line:
    """Parse a line."""
    try:
        first = float(words[0])
        values = np.array(words[1:], dtype=np.float32)
    except (ValueError, OverflowError) as error:
        raise DataError(f'{where}: must hold numbers, got {one_line(" ".join(words))[:60]}') from error
    if first not in names:
        known = f'{len(names)} classes have names (0 to {max(names)})'
        raise DataError(f'{where}: the class is {words[0][:20]}, but {known}; correct the line, or names in the source')
    if not ((values >= -TOLERANCE) & (values <= 1 + TOLERANCE)).all():
        raise DataError(
            f'{where}: coordinates must be from 0 to 1, relative to the size of the image; correct the line'
        )
    if len(values) == 4:
        return Line(int(first), None)
    if len(values) < 6 or len(values) % 2:
        raise DataError(
            f'{where}: must have a class, and x and y of at least three points, got {len(values)} coordinates'
        )
    return Line(int(first), values.reshape(-1, 2))
