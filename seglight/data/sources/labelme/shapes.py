"""The shapes of a LabelMe file, drawn like LabelMe's own exporter does."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from seglight.array_types import UInt8Array
from seglight.data.images import image_size
from seglight.data.sources.base import Annotation
from seglight.data.sources.labelme.file import MAX_POINTS, LabelMeFile, Shape
from seglight.data.sources.painting import MAX_DISTANCE, check_painting, outline_length
from seglight.errors import DataError, one_line

LINE_WIDTH, POINT_RADIUS = 10, 5  #: of LabelMe's exporter, in pixels

#: Maximum number of points in an image times its height: Pillow looks at every edge of a polygon in every row.
MAX_EDGE_ROWS = 1 << 31

Point = tuple[float, float]


class Shapes(Annotation):
    """The shapes of one image.

    Args:
        path: the JSON file.
        image: the image file, whose size is used if the JSON file has none.
        file: content of the JSON file.
        labels: by the names of shapes.
        background: label of pixels without a shape.
    """

    def __init__(self, path: Path, image: Path, file: LabelMeFile, labels: Mapping[str, int], background: int) -> None:
        self._path = path
        self._image = image
        self._file = file
        self._label_of = labels
        self._background = background

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self._path

    def size(self) -> tuple[int, int]:
        """Return height and width from the file, or else from the image."""
        height, width = self._file.imageHeight, self._file.imageWidth
        return image_size(self._image) if height is None or width is None else (height, width)

    def fingerprint(self) -> str:
        """Return a text that changes with the JSON file and the labels of its shapes."""
        return f'{super().fingerprint()} {self._background} {self._labels()}'

    def _labels(self) -> list[int]:
        """Return the label of each shape."""
        return [self._label_of[shape.label] for shape in self._file.shapes]

    def _read(self) -> LabelMeFile:
        """Return the content of the file."""
        return self._file

    def read(self) -> UInt8Array:
        """Paint the shapes, uint8 `[H, W]`."""
        height, width = self.size()
        shapes = self._read().shapes
        self._check(shapes, height, width)
        mask = np.full((height, width), self._background, dtype=np.uint8)
        for index, (label, shape) in enumerate(zip(self._labels(), shapes, strict=True)):
            try:
                mask[draw_shape(shape, height, width)] = label
            except DataError as error:
                raise DataError(f'{self._path}: shapes.{index} ({one_line(shape.label)[:40]}) {error}') from error
        return mask

    def _check(self, shapes: Sequence[Shape], height: int, width: int) -> None:
        """Check that the shapes can be drawn in a bounded time."""
        # `draw_shape` rejects points that are far outside.
        limit = MAX_DISTANCE * max(height, width)
        pairs = ([point for point in shape.points if len(point) == 2] for shape in shapes)
        points = [np.clip(np.array(each), -limit, limit) for each in pairs]
        try:
            if sum(map(len, points)) * height > MAX_EDGE_ROWS:
                raise DataError(f'has too many points for {height} rows of pixels; cut it into tiles')
            check_painting(len(points), height, width, sum(map(outline_length, points)))
        except DataError as error:
            raise DataError(f'{self._path} {error}') from error


def draw_shape(shape: Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a shape, bool `[H, W]`.

    Raises:
        DataError: if it is invalid; the message is the end of a sentence.
    """
    kind = shape.shape_type or 'polygon'
    if kind not in _DRAWN and kind != 'mask':
        raise DataError(f"has the shape_type '{one_line(kind)[:40]}', must be {', '.join(_DRAWN)} or mask")
    minimum, maximum = _POINTS.get(kind, (2, 2))
    if not minimum <= len(shape.points) <= maximum:
        raise DataError(f'is a {kind} of {len(shape.points)} points, must have {_count(minimum, maximum)}')
    points = [(point[0], point[1]) for point in shape.points if len(point) == 2]
    limit = MAX_DISTANCE * max(height, width)
    if len(points) < len(shape.points) or not all(abs(value) <= limit for point in points for value in point):
        raise DataError('has a point that is not two numbers in or near the image; correct or remove it')
    if kind == 'mask':
        return _pasted(shape, points, height, width)
    picture = Image.new('L', (width, height))
    _DRAWN[kind](ImageDraw.Draw(picture), points)
    return np.asarray(picture) > 0


def _polygon(draw: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    draw.polygon(points, outline=1, fill=1)


def _rectangle(draw: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    xs, ys = zip(*points, strict=True)
    draw.rectangle((min(xs), min(ys), max(xs), max(ys)), outline=1, fill=1)


def _circle(draw: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    (x, y), edge = points
    _disc(draw, (x, y), math.dist((x, y), edge))


def _point(draw: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    _disc(draw, points[0], POINT_RADIUS)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float) -> None:
    x, y = centre
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, fill=1)


def _line(draw: ImageDraw.ImageDraw, points: Sequence[Point]) -> None:
    draw.line(points, fill=1, width=LINE_WIDTH)


#: How to draw each type of shape, and its minimum and maximum number of points.
_DRAWN: dict[str, Callable[[ImageDraw.ImageDraw, Sequence[Point]], None]] = {
    'polygon': _polygon,
    'rectangle': _rectangle,
    'oriented_rectangle': _polygon,
    'circle': _circle,
    'line': _line,
    'linestrip': _line,
    'point': _point,
}
_POINTS = {
    'polygon': (3, MAX_POINTS),
    'oriented_rectangle': (4, 4),
    'linestrip': (2, MAX_POINTS),
    'point': (1, 1),
}


def _count(minimum: int, maximum: int) -> str:
    return f'{minimum}' if minimum == maximum else f'{minimum} or more'


def _pasted(shape: Shape, points: Sequence[Point], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask, stored as a base64 PNG between two inclusive corners."""
    (left, top), (right, bottom) = np.asarray(points).astype(int)
    if not (0 <= left <= right < width and 0 <= top <= bottom < height):
        raise DataError('is a mask whose corners lie outside the image; correct or remove it')
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.mask or '')), formats=['PNG']) as picture:
            is_fitting = picture.size == (right - left + 1, bottom - top + 1)
            pixels = np.asarray(picture.convert('L' if picture.mode != '1' else '1')) if is_fitting else None
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'is a mask that cannot be decoded: {one_line(error)}') from error
    if pixels is None:
        raise DataError(
            f'is a mask of {picture.size[0]}x{picture.size[1]} pixels, which does not match its corners; correct it'
        )
    mask = np.zeros((height, width), dtype=bool)
    mask[top : bottom + 1, left : right + 1] = pixels > 0
    return mask
