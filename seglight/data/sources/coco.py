"""Images and their objects in a COCO JSON file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools import mask as mask_utils

from seglight.array_types import UInt8Array
from seglight.data.sources.base import Annotation, Context, Ignored, Sample, Source
from seglight.data.sources.categories import (
    AUTO,
    background_label,
    category_labels,
    check_boxes,
    why_background_is_ignored,
)
from seglight.data.sources.coco_file import coco_images, read_coco
from seglight.data.sources.coco_shapes import check_painting, encode, has_outline
from seglight.errors import DataError, one_line


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

    def samples(self, context: Context) -> list[Sample]:
        """Return the images in the order of the file."""
        path = context.path(self.ann_file)
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
        check_boxes(boxes, len(content['annotations']), self.on_box, path)
        return objects


class Objects(Annotation):
    """The objects of one image of a COCO file.

    Args:
        path: the JSON file.
        image: its entry for the image.
        objects: label and annotation of each object.
        background: label of pixels without an object.
    """

    def __init__(
        self, path: Path, image: Mapping[str, Any], objects: Sequence[tuple[int, dict[str, Any]]], background: int
    ) -> None:
        self._path = path
        self._image = image
        self._objects = objects
        self._background = background

    @property
    def path(self) -> Path:
        """The JSON file."""
        return self._path

    def __str__(self) -> str:
        """Return the id of the image and the path of the file."""
        return f'of image {self._image["id"]} in {self._path}'

    def size(self) -> tuple[int, int]:
        """Return height and width from the file."""
        return int(self._image['height']), int(self._image['width'])

    def fingerprint(self) -> str:
        """Return a text that changes with the JSON file and the labels of the objects."""
        return f'{super().fingerprint()} {self._background} {[label for label, _ in self._objects]}'

    def read(self) -> UInt8Array:
        """Paint the objects, uint8 `[H, W]`."""
        height, width = self.size()
        runs, outline = [], 0.0
        for _, annotation in self._objects:
            run, length = self._encoded(annotation, height, width)
            runs.append(run)
            outline += length
            self._check(height, width, outline)
        mask = np.full((height, width), self._background, dtype=np.uint8)
        areas = np.array([mask_utils.area(run) for run in runs])
        for index in np.argsort(-areas.astype(np.int64), kind='stable'):
            left, top, columns, rows = map(int, mask_utils.toBbox(runs[index]))
            box = np.s_[top : top + rows, left : left + columns]
            mask[box][mask_utils.decode(runs[index])[box] > 0] = self._objects[index][0]
        return mask

    def _check(self, height: int, width: int, outline: float) -> None:
        """Check that the objects can be painted in a bounded time."""
        try:
            check_painting(len(self._objects), height, width, outline)
        except DataError as error:
            raise DataError(f'{self._path}: image {self._image["id"]} {error}') from error

    def _encoded(self, annotation: Mapping[str, Any], height: int, width: int) -> tuple[Any, float]:
        """Return the compressed run lengths of an object, and the length of its outline."""
        try:
            return encode(annotation.get('segmentation'), height, width)
        except DataError as error:
            number = one_line(repr(annotation.get('id')))[:40]
            where = f'{self._path}: in image {self._image["id"]} the segmentation of annotation {number}'
            raise DataError(f'{where} {error}') from error
