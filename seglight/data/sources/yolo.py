"""Polygons in YOLO text files, one for each image, drawn like Ultralytics does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from seglight.array_types import UInt8Array
from seglight.config.files import parse_yaml
from seglight.data.images import image_size
from seglight.data.sources.base import Annotation, Context, Ignored, Sample, Source, kind_of
from seglight.data.sources.categories import (
    AUTO,
    background_label,
    category_labels,
    check_boxes,
    why_background_is_ignored,
)
from seglight.data.sources.coco_shapes import check_painting, outline_length
from seglight.data.sources.folders import find_images
from seglight.data.sources.paths import read_bounded
from seglight.errors import ConfigError, DataError, one_line

#: How far outside the image a point may be, relative to its side, as in Ultralytics.
TOLERANCE = 0.01

MAX_BYTES = 64 << 20  #: maximum size of a file

FloatArray = npt.NDArray[np.float32]


class YoloSource(Source):
    """Images in one folder, and YOLO text files with the same relative paths in another.

    A line has the number of a class and the points of a polygon as alternating x and y, from 0 to 1. Polygons are
    painted from large to small, with the same pixels as Ultralytics' `polygons2masks_overlap`. An image without a file
    has no objects.

    Args:
        img_dir: folder of the images, possibly with subfolders; relative to `data.root`.
        label_dir: folder of the text files.
        names: class names in the order of their numbers, or by their numbers, or the path of the `data.yaml` of the
            data set.
        background: class of pixels without an object; null ignores them. By default (`auto`) the first class, unless
            it has drawn objects: then the pixels are ignored.
        category_map: classes for other names, such as `{sofa: couch}`; null ignores their pixels.
        on_box: for lines with a box (four numbers): `error`, or `skip` to leave them out with a warning.
    """

    def __init__(
        self,
        img_dir: str,
        label_dir: str,
        names: list[str] | dict[int, str] | str,
        background: str | None = AUTO,
        category_map: dict[str, str | None] | None = None,
        on_box: Literal['error', 'skip'] = 'error',
    ) -> None:
        self.img_dir = img_dir
        self.label_dir = label_dir
        self.names = names
        self.background = background
        self.category_map = category_map or {}
        self.on_box = on_box

    def samples(self, context: Context) -> list[Sample]:
        """Return the images, sorted by path."""
        folder = context.path(self.label_dir)
        if kind_of(folder) != 'folder':
            raise DataError(f'The label folder {folder} does not exist; correct label_dir')
        images = find_images(context.path(self.img_dir))
        names = self._names(context)
        labels = category_labels(names.values(), self.category_map, context, folder)
        files = {each.name: folder / f'{each.name}.txt' for each in images}
        found = {name: path for name, path in files.items() if path.is_file()}
        if not found:
            raise DataError(f'{folder} has no .txt file with the name of an image; correct label_dir')
        parsed: dict[str, list[_Line]] = {}
        faults: dict[str, str] = {}
        for name, path in found.items():
            try:
                parsed[name] = read_yolo(path, names)
            except DataError as error:
                faults[name] = str(error)
        self._check_boxes(folder, found, parsed)
        drawn = {labels[names[line.number]] for lines in parsed.values() for line in lines if line.points is not None}
        background = background_label(self.background, drawn, context, folder)
        samples = []
        for each in images:
            lines = parsed.get(each.name, [])
            shapes = [(labels[names[line.number]], line.points) for line in lines if line.points is not None]
            mask = Polygons(found.get(each.name, each.image), each.image, shapes, background)
            samples.append(Sample(each.image, each.name, mask, fault=each.fault or faults.get(each.name)))
        return samples

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return why pixels without an object are ignored."""
        return why_background_is_ignored(self.background, context, name)

    def _check_boxes(self, folder: Path, files: dict[str, Path], parsed: dict[str, list[_Line]]) -> None:
        """Reject lines with boxes, or warn that they are left out."""
        lines = [(files[name], at, line) for name, each in parsed.items() for at, line in enumerate(each, 1)]
        boxes = [f'{path.name}:{at}' for path, at, line in lines if line.points is None]
        check_boxes(len(boxes), boxes[0] if boxes else '', len(lines), self.on_box, folder)

    def _names(self, context: Context) -> dict[int, str]:
        """Return the names of the classes by their numbers.

        Raises:
            DataError: if they are in a file that is invalid.
        """
        names: Any = self.names
        if isinstance(names, str):
            path = context.path(names)
            data = read_bounded(path, 'The names of the classes in', MAX_BYTES)
            try:
                values = parse_yaml(data.decode(), str(path)).values
            except (UnicodeDecodeError, ConfigError) as error:
                raise DataError(f'The names of the classes in {path} cannot be read: {one_line(error)}') from error
            names = values.get('names')
            if isinstance(names, dict):
                names = {int(number): name for number, name in names.items() if str(number).isdecimal()}
            if not isinstance(names, (list, dict)) or not names:
                raise DataError(f'{path} has no class names; set names to the data.yaml of the data set, or to a list')
            names = {number: str(name) for number, name in _numbered(names).items()}
        return _numbered(names)


class Polygons(Annotation):
    """The polygons of one image.

    Args:
        path: the text file, or the image if there is none.
        image: the image file, which has the size.
        polygons: label and points of each polygon, float32 `[N, 2]` from 0 to 1.
        background: label of pixels without a polygon.
    """

    def __init__(self, path: Path, image: Path, polygons: Sequence[tuple[int, FloatArray]], background: int) -> None:
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
        return f'{super().fingerprint()} {self._background} {[label for label, _ in self._polygons]}'

    def read(self) -> UInt8Array:
        """Paint the polygons, uint8 `[H, W]`."""
        height, width = self.size()
        scale = np.array([width, height], dtype=np.float32)
        corners = [(points * scale).astype(np.int32) for _, points in self._polygons]
        try:
            check_painting(len(corners), height, width, sum(map(outline_length, corners)))
        except DataError as error:
            raise DataError(f'{self._path} {error}') from error
        areas = [_filled(np.zeros((height, width), np.uint8), each, 1).sum(dtype=np.int64) for each in corners]
        mask = np.full((height, width), self._background, dtype=np.uint8)
        for index in np.argsort(-np.array(areas, dtype=np.int64), kind='stable'):
            _filled(mask, corners[index], self._polygons[index][0])
        return mask


def _filled(mask: UInt8Array, corners: npt.NDArray[np.int32], label: int) -> UInt8Array:
    """Fill a polygon in a mask with a label, in place; return the mask."""
    cv2.fillPoly(mask, [corners], [label])
    return mask


class _Line(NamedTuple):
    """The number of a class, and the points of a polygon, float32 `[N, 2]`, or None for a box."""

    number: int
    points: FloatArray | None


def read_yolo(path: Path, names: dict[int, str]) -> list[_Line]:
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


def _parsed(where: str, words: Sequence[str], names: dict[int, str]) -> _Line:
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
        return _Line(int(first), None)
    if len(values) < 6 or len(values) % 2:
        raise DataError(
            f'{where}: must have a class, and x and y of at least three points, got {len(values)} coordinates'
        )
    return _Line(int(first), values.reshape(-1, 2))


def _numbered(names: list[str] | dict[int, str]) -> dict[int, str]:
    return dict(enumerate(names)) if isinstance(names, list) else names
