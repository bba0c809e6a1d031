"""JSON files of LabelMe, one for each image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seglight.data.sources.base import Context, Ignored, Source, kind_of
from seglight.data.sources.categories import AUTO, background_label, category_labels, why_background_is_ignored
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.labelme.columns import LabelMeFiles
from seglight.data.sources.labelme.rows import LabelMeRows
from seglight.errors import DataError

#: Names in LabelMe's examples for pixels without an object, and for ignored pixels.
BACKGROUND, IGNORE = '_background_', '__ignore__'


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

    def samples(self, context: Context) -> Samples:
        """Return the images, sorted by the paths of their JSON files."""
        folder = context.path(self.ann_dir)
        images = None if self.img_dir is None else context.path(self.img_dir)
        for each in (folder, images):
            if each is not None and kind_of(each) != 'folder':
                raise DataError(f'The folder {each} does not exist; correct ann_dir or img_dir')
        files = LabelMeFiles(folder, images)
        by_name = self._labels(folder, files.labels, context)
        # LabelMe's exporter treats drawn background like pixels without a shape.
        drawn = {by_name[name] for name in files.labels if name.lower().strip('_') != 'background'}
        background = background_label(self.background, drawn, context, folder)
        if BACKGROUND not in self.category_map:
            by_name[BACKGROUND] = background
        return Samples([Part(LabelMeRows(files, by_name, background))])

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return why pixels without a shape are ignored."""
        return why_background_is_ignored(self.background, context, name)

    def _labels(self, folder: Path, used: Sequence[str], context: Context) -> dict[str, int]:
        """Return the label of each name of a shape.

        Raises:
            DataError: for one of no class.
        """
        own = {name: None for name in (BACKGROUND, IGNORE) if name not in (*self.category_map, *context.classes)}
        names = [*used, *own]
        return category_labels(names, {**own, **self.category_map}, context, folder)
