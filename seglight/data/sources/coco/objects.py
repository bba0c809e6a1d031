"""The objects of one image of a COCO file, painted as a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as mask_utils

from seglight.array_types import UInt8Array
from seglight.data.sources.base import Annotation
from seglight.data.sources.coco.shapes import encode
from seglight.data.sources.painting import check_painting
from seglight.errors import DataError, one_line


class Objects(Annotation):
    """The objects of one image of a COCO file.

    Args:
        path: the JSON file.
        image: its entry for the image.
        objects: label and annotation of each object.
        background: label of pixels without an object.
    """

    own_file = False

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
        return f'of image {self._id()} in {self._path}'

    def _id(self) -> Any:
        """Return the id of the image."""
        return self._image['id']

    def size(self) -> tuple[int, int]:
        """Return height and width from the file."""
        return int(self._image['height']), int(self._image['width'])

    def fingerprint(self) -> str:
        """Return a text that changes with the JSON file and the labels of the objects."""
        return f'{super().fingerprint()} {self._background} {self._labels()}'

    def _labels(self) -> list[int]:
        """Return the label of each object."""
        return [label for label, _ in self._objects]

    def _read(self) -> Sequence[tuple[int, dict[str, Any]]]:
        """Return label and annotation of each object."""
        return self._objects

    def read(self) -> UInt8Array:
        """Paint the objects, uint8 `[H, W]`."""
        height, width = self.size()
        objects = self._read()
        runs, outline = [], 0.0
        for _, annotation in objects:
            run, length = self._encoded(annotation, height, width)
            runs.append(run)
            outline += length
            self._check(len(objects), height, width, outline)
        mask = np.full((height, width), self._background, dtype=np.uint8)
        areas = np.array([mask_utils.area(run) for run in runs])
        for index in np.argsort(-areas.astype(np.int64), kind='stable'):
            left, top, columns, rows = map(int, mask_utils.toBbox(runs[index]))
            box = np.s_[top : top + rows, left : left + columns]
            mask[box][mask_utils.decode(runs[index])[box] > 0] = objects[index][0]
        return mask

    def _check(self, count: int, height: int, width: int, outline: float) -> None:
        """Check that the objects can be painted in a bounded time."""
        try:
            check_painting(count, height, width, outline)
        except DataError as error:
            raise DataError(f'{self._path}: image {self._id()} {error}') from error

    def _encoded(self, annotation: Mapping[str, Any], height: int, width: int) -> tuple[Any, float]:
        """Return the compressed run lengths of an object, and the length of its outline."""
        try:
            return encode(annotation.get('segmentation'), height, width)
        except DataError as error:
            number = one_line(repr(annotation.get('id')))[:40]
            where = f'{self._path}: in image {self._id()} the segmentation of annotation {number}'
            raise DataError(f'{where} {error}') from error
