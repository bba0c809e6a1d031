"""Polygons in YOLO text files, one for each image."""

from __future__ import annotations

from typing import Any, Literal

from seglight.config.files import parse_yaml
from seglight.data.sources.base import Context, Ignored, Source, kind_of
from seglight.data.sources.categories import (
    AUTO,
    background_label,
    category_labels,
    check_boxes,
    why_background_is_ignored,
)
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.folders import find_rows
from seglight.data.sources.paths import read_bounded
from seglight.data.sources.yolo.lines import MAX_BYTES
from seglight.data.sources.yolo.rows import YoloFiles, YoloRows
from seglight.errors import ConfigError, DataError, one_line


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

    def samples(self, context: Context) -> Samples:
        """Return the images, sorted by path."""
        folder = context.path(self.label_dir)
        if kind_of(folder) != 'folder':
            raise DataError(f'The label folder {folder} does not exist; correct label_dir')
        images = find_rows(context.path(self.img_dir))
        names = self._names(context)
        labels = category_labels(names.values(), self.category_map, context, folder)
        files = YoloFiles(images, folder, names)
        more = files.more
        check_boxes(more['boxes'], more['first'], more['lines'], self.on_box, folder)
        by_number = {number: labels[name] for number, name in names.items()}
        background = background_label(self.background, {by_number[number] for number in more['drawn']}, context, folder)
        return Samples([Part(YoloRows(files, by_number, background))])

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return why pixels without an object are ignored."""
        return why_background_is_ignored(self.background, context, name)

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


def _numbered(names: list[str] | dict[int, str]) -> dict[int, str]:
    return dict(enumerate(names)) if isinstance(names, list) else names
