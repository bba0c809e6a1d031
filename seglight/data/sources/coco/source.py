"""Images and their objects in a COCO JSON file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from seglight.data.sources.base import Context, Ignored, Sample, Source
from seglight.data.sources.categories import (
    AUTO,
    background_label,
    category_labels,
    check_boxes,
    why_background_is_ignored,
)
from seglight.data.sources.coco.columns import CocoFile, coco_columns
from seglight.data.sources.coco.file import coco_images, read_coco
from seglight.data.sources.coco.objects import Objects
from seglight.data.sources.coco.rows import CocoRows
from seglight.data.sources.coco.shapes import has_outline
from seglight.data.sources.columns import Part, Samples
from seglight.data.sources.json_chunks import IrregularError
from seglight.data.sources.proposals import check_annotations
from seglight.errors import DataError, one_line

__all__ = ['CocoSource', 'Objects']

#: Bytes from which a file is read in columns, and up to which one that cannot be is read whole to say why.
LARGE, LARGEST_WHOLE = 32 << 20, 1 << 30


class CocoSource(Source):
    """The images of a COCO JSON file; objects are painted from large to small, so that small ones stay visible.

    Args:
        ann_file: the JSON file, relative to `data.root`.
        img_dir: folder that each `file_name` is relative to.
        background: class of pixels without an object; null ignores them. By default (`auto`) the first class, unless
            it has drawn objects: then the pixels are ignored.
        category_map: classes for categories with other names, such as `{sofa: couch}`; null ignores their pixels.
            Categories are matched by name, not by id.
        on_box: for objects with a box but no outline: `error`, or `skip` to leave them out with a warning.
    """

    def __init__(
        self,
        ann_file: str,
        img_dir: str = '',
        background: str | None = AUTO,
        category_map: dict[str, str | None] | None = None,
        on_box: Literal['error', 'skip'] = 'error',
    ) -> None:
        self.ann_file = ann_file
        self.img_dir = img_dir
        self.background = background
        self.category_map = category_map or {}
        self.on_box = on_box

    def samples(self, context: Context) -> Sequence[Sample]:
        """Return the images in the order of the file; of a large file in columns, which read its objects later."""
        path = context.path(self.ann_file)
        check_annotations(path)
        large = _large(path)
        if large is not None:
            return self._in_columns(large, context)
        content = read_coco(path)
        if 'annotations' not in content:
            raise DataError(f"{path} has no 'annotations' to train on; use a file that has them")
        labels = self._labels(path, content, context)
        objects = self._objects(path, content, labels)
        drawn = {label for each in objects.values() for label, _ in each}
        background = background_label(self.background, drawn, context, path)
        return [
            Sample(image, name, Objects(path, entry, objects.get(str(entry['id']), []), background))
            for image, name, entry in coco_images(path, content, context.path(self.img_dir))
        ]

    def _in_columns(self, file: CocoFile, context: Context) -> Samples:
        """Return the images of a large file."""
        more = file.more
        names = [name for _, name in more['categories']]
        used = {names[index] for index in more['used']}
        by_name = category_labels(names, self.category_map, context, file.path, used)
        labels = [by_name[name] for name in names]
        check_boxes(more['boxes'], more['first'], more['annotations'], self.on_box, file.path)
        drawn = {labels[index] for index in more['drawn']}
        background = background_label(self.background, drawn, context, file.path)
        return Samples([Part(CocoRows(file, context.path(self.img_dir), labels, background))])

    def why_ignored(self, context: Context, name: str) -> Ignored | None:
        """Return why pixels without an object are ignored."""
        return why_background_is_ignored(self.background, context, name)

    def _labels(self, path: Path, content: Mapping[str, Any], context: Context) -> dict[str, int]:
        """Return the label of each category id."""
        names = {str(category['id']): category['name'] for category in content['categories']}
        used = {str(annotation['category_id']) for annotation in content['annotations']}
        drawn = {name for number, name in names.items() if number in used}
        labels = category_labels(names.values(), self.category_map, context, path, drawn)
        return {number: labels[name] for number, name in names.items()}

    def _objects(
        self, path: Path, content: Mapping[str, Any], labels: Mapping[str, int]
    ) -> dict[str, list[tuple[int, dict[str, Any]]]]:
        """Return label and annotation of the objects in each image, by image id."""
        objects: dict[str, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        boxes = []
        for annotation in content['annotations']:
            category = str(annotation['category_id'])
            if category not in labels:
                number = one_line(repr(annotation.get('id')))[:40]
                raise DataError(f'{path}: annotation {number} has the unknown category_id {category}')
            image = objects[str(annotation['image_id'])]
            if annotation.get('bbox') and not has_outline(annotation.get('segmentation')):
                boxes.append(f'annotation {one_line(repr(annotation.get("id")))[:40]}')
            else:
                image.append((labels[category], annotation))
        unknown = objects.keys() - {str(image['id']) for image in content['images']}
        if unknown:
            raise DataError(f'{path}: annotations have the unknown image_id {min(unknown)}')
        check_boxes(len(boxes), boxes[0] if boxes else '', len(content['annotations']), self.on_box, path)
        return objects


def _large(path: Path) -> CocoFile | None:
    """Return a large file in columns; None for another one, or if `read_coco` must explain what is wrong with it.

    Raises:
        DataError: for wrong entries, and if it is too large to be read whole.
    """
    size = 0
    try:
        size = path.stat().st_size
        return coco_columns(path) if size >= LARGE and path.is_file() else None
    except (OSError, IrregularError, RecursionError) as error:
        if size > LARGEST_WHOLE:
            raise DataError(f'{path} is not valid JSON or not a COCO file: {one_line(error)}') from error
        return None
