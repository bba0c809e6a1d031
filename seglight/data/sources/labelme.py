"""JSON files of LabelMe, one for each image, drawn like LabelMe's own exporter does."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seglight.array_types import UInt8Array
from seglight.data.images import image_size
from seglight.data.sources.base import Annotation, Context, Ignored, Sample, Source, kind_of
from seglight.data.sources.categories import AUTO, background_label, category_labels, why_background_is_ignored
from seglight.data.sources.coco_shapes import (
    MAX_DISTANCE,
    MAX_PIXELS,
    MAX_SIDE,
    check_painting,
    outline_length,
)
from seglight.data.sources.folders import find_images, name_below
from seglight.data.sources.json_files import MAX_BYTES_PER_IMAGE, kind_of_json, read_json, unread
from seglight.data.sources.paths import files_below, path_in, with_slashes
from seglight.errors import DataError, one_line

#: Names in LabelMe's examples for pixels without an object, and for ignored pixels.
BACKGROUND, IGNORE = '_background_', '__ignore__'

LINE_WIDTH, POINT_RADIUS = 10, 5  #: of LabelMe's exporter, in pixels

#: Maximum number of points in an image, and that number times the height of the image: Pillow looks at every edge of a
#: polygon in every row.
MAX_POINTS, MAX_EDGE_ROWS = 1_000_000, 1 << 31

Point = tuple[float, float]


class LabelMeSource(Source):
    """Images with a LabelMe JSON file each; images without one are unlabelled and left out.

    Shapes are drawn in the order of the file, later ones over earlier ones, with the same pixels as LabelMe's
    `utils.shapes_to_label`: polygons, rectangles, circles, lines (10 pixels), points (radius 5), and masks. `flags` are
    ignored.

    Args:
        ann_dir: folder of the JSON files, possibly with subfolders; relative to `data.root`.
        img_dir: folder of the images, with the same subfolders; by default the path in the JSON file, or beside it.
        background: class of pixels without a shape; null ignores them. By default (`auto`) the first class, unless
            it has drawn shapes: then the pixels are ignored. Shapes named `_background_` are treated the same.
        category_map: classes for other names of shapes, such as `{sofa: couch}`; null ignores their pixels, like those
            of `__ignore__`.
    """

    def __init__(
        self,
        ann_dir: str,
        img_dir: str | None = None,
        background: str | None = AUTO,
        category_map: dict[str, str | None] | None = None,
    ) -> None:
        self.ann_dir = ann_dir
        self.img_dir = img_dir
        self.background = background
        self.category_map = category_map or {}

    def samples(self, context: Context) -> list[Sample]:
        """Return the images, sorted by the paths of their JSON files."""
        folder = context.path(self.ann_dir)
        images = None if self.img_dir is None else context.path(self.img_dir)
        for each in (folder, images):
            if each is not None and kind_of(each) != 'folder':
                raise DataError(f'The folder {each} does not exist; correct ann_dir or img_dir')
        paths = sorted(path for path in files_below(folder) if path.suffix == '.json' and path.name[0] != '.')
        if not paths:
            raise DataError(f'The folder {folder} contains no LabelMe .json file')
        files: dict[Path, _File] = {}
        faults: dict[Path, str] = {}
        for path in paths:
            try:
                files[path] = read_labelme(path)
            except DataError as error:
                faults[path] = str(error)
        labels = self._labels(folder, files, context)
        # LabelMe's exporter treats drawn background like pixels without a shape.
        drawn = {labels[name] for name in _names(files) if name.lower().strip('_') != 'background'}
        background = background_label(self.background, drawn, context, folder)
        if BACKGROUND not in self.category_map:
            labels[BACKGROUND] = background
        beside = _images_by_name(folder if images is None else images)
        samples = []
        for path in paths:
            name = name_below(path, folder)
            image = _image(path, files.get(path), images, beside.get(name))
            shapes = Shapes(path, image, files[path], labels, background) if path in files else None
            samples.append(Sample(image, name, shapes, fault=faults.get(path)))
        return samples

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return why pixels without a shape are ignored."""
        return why_background_is_ignored(self.background, context, name)

    def _labels(self, folder: Path, files: dict[Path, _File], context: Context) -> dict[str, int]:
        """Return the label of each name of a shape.

        Raises:
            DataError: for one of no class.
        """
        own = {name: None for name in (BACKGROUND, IGNORE) if name not in (*self.category_map, *context.classes)}
        names = [*sorted(_names(files)), *own]
        return category_labels(names, {**own, **self.category_map}, context, folder)


class Shapes(Annotation):
    """The shapes of one image.

    Args:
        path: the JSON file.
        image: the image file, whose size is used if the JSON file has none.
        file: content of the JSON file.
        labels: by the names of shapes.
        background: label of pixels without a shape.
    """

    def __init__(self, path: Path, image: Path, file: _File, labels: dict[str, int], background: int) -> None:
        self._path = path
        self._image = image
        self._file = file
        self._labels = [labels[shape.label] for shape in file.shapes]
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
        return f'{super().fingerprint()} {self._background} {self._labels}'

    def read(self) -> UInt8Array:
        """Paint the shapes, uint8 `[H, W]`."""
        height, width = self.size()
        self._check(height, width)
        mask = np.full((height, width), self._background, dtype=np.uint8)
        for index, (label, shape) in enumerate(zip(self._labels, self._file.shapes, strict=True)):
            try:
                mask[draw_shape(shape, height, width)] = label
            except DataError as error:
                raise DataError(f'{self._path}: shapes.{index} ({one_line(shape.label)[:40]}) {error}') from error
        return mask

    def _check(self, height: int, width: int) -> None:
        """Check that the shapes can be drawn in a bounded time."""
        # `draw_shape` rejects points that are far outside.
        limit = MAX_DISTANCE * max(height, width)
        shapes = ([point for point in shape.points if len(point) == 2] for shape in self._file.shapes)
        points = [np.clip(np.array(each), -limit, limit) for each in shapes]
        try:
            if sum(map(len, points)) * height > MAX_EDGE_ROWS:
                raise DataError(f'has too many points for {height} rows of pixels; cut it into tiles')
            check_painting(len(points), height, width, sum(map(outline_length, points)))
        except DataError as error:
            raise DataError(f'{self._path} {error}') from error


class _Shape(BaseModel):
    """A shape in a file; other fields are not checked."""

    model_config = ConfigDict(strict=True)

    label: str
    points: list[list[float]]
    shape_type: str | None = None
    mask: str | None = None


class _File(BaseModel):
    """Content of a LabelMe file, without the copy of the image."""

    model_config = ConfigDict(strict=True)

    shapes: list[_Shape]
    imagePath: str | None = None
    imageHeight: int | None = Field(None, gt=0, le=MAX_SIDE)
    imageWidth: int | None = Field(None, gt=0, le=MAX_SIDE)


def read_labelme(path: Path) -> _File:
    """Read a LabelMe JSON file.

    Raises:
        DataError: if it cannot be read, has another format, or a value of a wrong type.
    """
    content = read_json(path, 'annotation', MAX_BYTES_PER_IMAGE)
    kind = kind_of_json(content)
    if kind != 'labelme':
        found = 'not a LabelMe file: it has no list of shapes' if kind is None else unread(kind)
        raise DataError(f'{path} is {found}')
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(str(step) for step in first['loc'])
        raise DataError(f'{path}: {place} is wrong: {first["msg"]}') from error
    if (file.imageHeight or 1) * (file.imageWidth or 1) > MAX_PIXELS:
        raise DataError(
            f'{path}: {file.imageHeight} x {file.imageWidth} pixels are more than the maximum of {MAX_PIXELS}'
        )
    if sum(len(shape.points) for shape in file.shapes) > MAX_POINTS:
        raise DataError(f'{path} has more than {MAX_POINTS} points; split it')
    return file


def draw_shape(shape: _Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
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


def _pasted(shape: _Shape, points: Sequence[Point], height: int, width: int) -> npt.NDArray[np.bool_]:
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


def _names(files: dict[Path, _File]) -> set[str]:
    """Return the names of all shapes."""
    return {shape.label for file in files.values() for shape in file.shapes}


def _images_by_name(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by name; empty if there are none, since JSON files may give their paths."""
    try:
        return {sample.name: sample.image for sample in find_images(folder)[::-1]}
    except DataError:
        return {}


def _image(path: Path, file: _File | None, images: Path | None, beside: Path | None) -> Path:
    """Return the image of a JSON file: by its `imagePath`, below `images` if given, or else by its own name.

    Only the last part of an absolute path is used, since it is often from another computer.
    """
    given = '' if file is None or file.imagePath is None else file.imagePath.replace('\0', '')
    last = with_slashes(given).rpartition('/')[2]
    if images is None and given and not Path(given).is_absolute():
        named = path_in(path.parent, given)
        if named.is_file():
            return named
    if beside is not None:
        return beside
    return path.with_name(last) if last and images is None else (images or path.parent) / (last or f'{path.stem}.jpg')
