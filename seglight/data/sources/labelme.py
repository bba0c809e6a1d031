"""The JSON files of LabelMe, one for each image, drawn as LabelMe's own exporter draws them."""

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
from seglight.data.sources.coco_shapes import FARTHEST, LONGEST_SIDE, MOST_PIXELS
from seglight.data.sources.folders import find_images, name_below
from seglight.data.sources.json_files import LARGEST_OF_ONE, kind_of_json, read_json, unread
from seglight.data.sources.paths import files_below, path_in, with_slashes
from seglight.errors import DataError, one_line

#: Names that LabelMe's own examples give to pixels without an object, and to those that do not count.
BACKGROUND, IGNORE = '_background_', '__ignore__'

LINE_WIDTH, POINT_RADIUS = 10, 5  #: of LabelMe's exporter, in pixels

#: Points of an image at most; drawing takes time in proportion to them and to the image's height.
MOST_POINTS = 1_000_000

Point = tuple[float, float]


class LabelMeSource(Source):
    """Images with a JSON file of LabelMe each; images without one are left out, since nobody has labelled them.

    Shapes are drawn in the order of the file, later ones over earlier ones, each pixel as by LabelMe's
    `utils.shapes_to_label`: polygons, rectangles, circles, lines of 10 pixels, points of 5, and masks. `flags` are
    ignored.

    Args:
        ann_dir: folder of the JSON files, with any folders inside; relative to `data.root`.
        img_dir: folder of the images, with the same folders inside; by default they are where the JSON files say,
            or beside these.
        background: class of pixels without a shape; null ignores them. By default (`auto`) the first class, unless
            shapes of it are drawn: then they are ignored. `_background_`, drawn or not, is that class.
        category_map: the class of a label whose name is no class, such as `{sofa: couch}`; null ignores its pixels,
            as is done with those of `__ignore__`.
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
        """Return the images sorted by the paths of their JSON files."""
        folder = context.path(self.ann_dir)
        images = None if self.img_dir is None else context.path(self.img_dir)
        for each in (folder, images):
            if each is not None and kind_of(each) != 'folder':
                raise DataError(f'The folder {each} does not exist; set ann_dir and img_dir to yours')
        paths = sorted(path for path in files_below(folder) if path.suffix == '.json' and path.name[0] != '.')
        if not paths:
            raise DataError(f'The folder {folder} holds no .json of LabelMe')
        files: dict[Path, _File] = {}
        faults: dict[Path, str] = {}
        for path in paths:
            try:
                files[path] = read_labelme(path)
            except DataError as error:
                faults[path] = str(error)
        labels = self._labels(folder, files, context)
        # LabelMe's exporter takes drawn background for the same as pixels without a shape.
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
        image: the image file, whose size counts where the JSON file gives none.
        file: what the JSON file holds.
        labels: of the names of shapes.
        background: label of pixels without one.
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
        """Return height and width: the file's, or else the image's."""
        height, width = self._file.imageHeight, self._file.imageWidth
        return image_size(self._image) if height is None or width is None else (height, width)

    def fingerprint(self) -> str:
        """Return what tells the JSON file and the classes that its shapes are painted as."""
        return f'{super().fingerprint()} {self._background} {self._labels}'

    def read(self) -> UInt8Array:
        """Paint the shapes, uint8 `[H, W]`."""
        height, width = self.size()
        mask = np.full((height, width), self._background, dtype=np.uint8)
        for index, (label, shape) in enumerate(zip(self._labels, self._file.shapes, strict=True)):
            try:
                mask[draw_shape(shape, height, width)] = label
            except DataError as error:
                raise DataError(f'{self._path}: shapes.{index} ({one_line(shape.label)[:40]}) {error}') from error
        return mask


class _Shape(BaseModel):
    """A shape of a file; what is not named is not checked."""

    model_config = ConfigDict(strict=True)

    label: str
    points: list[list[float]]
    shape_type: str | None = None
    mask: str | None = None


class _File(BaseModel):
    """What a file of LabelMe holds, without the copy of the image."""

    model_config = ConfigDict(strict=True)

    shapes: list[_Shape]
    imagePath: str | None = None
    imageHeight: int | None = Field(None, gt=0, le=LONGEST_SIDE)
    imageWidth: int | None = Field(None, gt=0, le=LONGEST_SIDE)


def read_labelme(path: Path) -> _File:
    """Read a JSON file of LabelMe.

    Raises:
        DataError: if it cannot be read, is another format, or has a value of another type.
    """
    content = read_json(path, 'annotation', LARGEST_OF_ONE)
    kind = kind_of_json(content)
    if kind != 'labelme':
        found = 'not an annotation of LabelMe: it has no list of shapes' if kind is None else unread(kind)
        raise DataError(f'{path} is {found}')
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = '.'.join(str(step) for step in first['loc'])
        raise DataError(f'{path}: {place} is wrong: {first["msg"]}') from error
    if (file.imageHeight or 1) * (file.imageWidth or 1) > MOST_PIXELS:
        raise DataError(f'{path}: {file.imageHeight} x {file.imageWidth} pixels are more than any image may have')
    if sum(len(shape.points) for shape in file.shapes) > MOST_POINTS:
        raise DataError(f'{path} has more than {MOST_POINTS} points; split it')
    return file


def draw_shape(shape: _Shape, height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a shape, bool `[H, W]`.

    Raises:
        DataError: says what is wrong with it, without the place.
    """
    kind = shape.shape_type or 'polygon'
    if kind not in _DRAWN and kind != 'mask':
        raise DataError(f"has the shape_type '{one_line(kind)[:40]}', must be {', '.join(_DRAWN)} or mask")
    least, most = _POINTS.get(kind, (2, 2))
    if not least <= len(shape.points) <= most:
        raise DataError(f'is a {kind} of {len(shape.points)} points, must have {_count(least, most)}')
    points = [(point[0], point[1]) for point in shape.points if len(point) == 2]
    farthest = FARTHEST * max(height, width)
    if len(points) < len(shape.points) or not all(abs(value) <= farthest for point in points for value in point):
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


#: How a shape of each type is drawn, and the least and the greatest number of its points.
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
    'polygon': (3, MOST_POINTS),
    'oriented_rectangle': (4, 4),
    'linestrip': (2, MOST_POINTS),
    'point': (1, 1),
}


def _count(least: int, most: int) -> str:
    return f'{least}' if least == most else f'{least} or more'


def _pasted(shape: _Shape, points: Sequence[Point], height: int, width: int) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask that is stored as a PNG in base64, between two corners, both inside it."""
    (left, top), (right, bottom) = np.asarray(points).astype(int)
    if not (0 <= left <= right < width and 0 <= top <= bottom < height):
        raise DataError('is a mask whose corners lie outside the image; correct or remove it')
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.mask or '')), formats=['PNG']) as picture:
            fits = picture.size == (right - left + 1, bottom - top + 1)
            pixels = np.asarray(picture.convert('L' if picture.mode != '1' else '1')) if fits else None
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f'is a mask that cannot be decoded: {one_line(error)}') from error
    if pixels is None:
        raise DataError(f'is a mask of {picture.size[0]}x{picture.size[1]} pixels, unlike its corners; correct it')
    mask = np.zeros((height, width), dtype=bool)
    mask[top : bottom + 1, left : right + 1] = pixels > 0
    return mask


def _names(files: dict[Path, _File]) -> set[str]:
    """Return the names of all shapes."""
    return {shape.label for file in files.values() for shape in file.shapes}


def _images_by_name(folder: Path) -> dict[str, Path]:
    """Return the images in a folder by their names; none where there are none, since JSON files may name them."""
    try:
        return {sample.name: sample.image for sample in find_images(folder)[::-1]}
    except DataError:
        return {}


def _image(path: Path, file: _File | None, images: Path | None, beside: Path | None) -> Path:
    """Return the image of a JSON file: where this says, below `images` if given, or else the one of its name.

    A path that is absolute is that of another computer: only its last part counts.
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
